/* What the fuzz targets of the transcoder share: feeding it, checking what comes out, making up and damaging input. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__clang__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(start, size) ((void)(start), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(start, size) ((void)(start), (void)(size))
#endif

#define FAIL(...) (fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), abort())

#define MAX_INPUT 20000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct {
    int status;
    tc_fault fault;
    uint64_t rows;
    size_t size;
    uint8_t *data;
} outcome;

/* Whole tuples with the right number of fields, and nothing behind them. */
static void check_tuples(const uint8_t *data, size_t size, uint64_t rows, unsigned fields)
{
    size_t at = 0;
    while (rows--) {
        if (size - at < 2 || (unsigned)(data[at] << 8 | data[at + 1]) != fields)
            FAIL("a tuple does not begin with its number of fields");
        at += 2;
        for (unsigned i = 0; i < fields; i++) {
            uint32_t length;
            if (size - at < 4)
                FAIL("a field's length is cut off");
            length = (uint32_t)data[at] << 24 | (uint32_t)data[at + 1] << 16 | (uint32_t)data[at + 2] << 8 | data[at + 3];
            at += 4;
            if (length == 0xFFFFFFFFu)
                continue;
            if (length > size - at)
                FAIL("a field is cut off");
            at += length;
        }
    }
    if (at != size)
        FAIL("there are bytes behind the last tuple");
}

static void keep_tuples(outcome *o, tc *t, unsigned fields)
{
    size_t size;
    uint64_t rows = tc_rows(t);
    uint8_t *memory = tc_take(t, &size);
    if (!memory)
        return;
    check_tuples(memory, size, rows, fields);
    o->data = realloc(o->data, o->size + size + 1);
    memcpy(o->data + o->size, memory, size);
    o->size += size;
    o->rows += rows;
    free(memory);
}

/* Put up to `step` raw bytes into the input buffer, of which no byte behind them may be read. */
static size_t feed(tc *t, const uint8_t *raw, size_t left, size_t step)
{
    size_t room;
    uint8_t *to;
    ASAN_UNPOISON_MEMORY_REGION(t->in, t->in_cap);
    to = tc_input(t, &room);
    size_t n = left < step ? left : step;
    if (n > room)
        n = room;
    memcpy(to, raw, n);
    if (!tc_push(t, n))
        FAIL("tc_push refuses what tc_input offered");
    ASAN_POISON_MEMORY_REGION(t->in + t->end, t->in_cap - t->end);
    return n;
}

#if defined(STANDALONE)

static uint64_t state;

static uint64_t next(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static unsigned below(unsigned n) { return (unsigned)(next() % n); }

typedef struct {
    uint8_t bytes[MAX_INPUT];
    size_t size;
} input;

static void put(input *in, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes && in->size < MAX_INPUT; i++)
        in->bytes[in->size++] = i < 8 ? (uint8_t)(value >> (8 * i)) : 0;
}

/* Bytes of text or of anything: mostly ASCII pairs, some of every other kind. */
static void put_data(input *in, unsigned size)
{
    static const uint16_t units[] = {0x41, 0x20, 0x7F, 0xE9, 0x7FF, 0x800, 0x65E5, 0xD83D, 0xDE80, 0xFFFF, 0x80, 0};
    for (unsigned i = 0; i < size / 2; i++)
        put(in, below(4) ? 0x61 + below(26) : units[below(below(8) ? 11 : 12)], 2);
    put(in, 0x42, size % 2);
}

static void damage(input *in)
{
    static const uint64_t odd[] = {0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 0xFFFE, 0x7FFFFFFF, 0xFFFFFFFF, UINT64_MAX};
    unsigned times = below(4);
    while (times-- && in->size > 1) {
        unsigned at = below((unsigned)in->size);
        switch (below(5)) {
        case 0:
            in->bytes[at] ^= (uint8_t)(1 << below(8));
            break;
        case 1:
            in->bytes[at] = (uint8_t)next();
            break;
        case 2: { /* a number of some width */
            uint64_t value = odd[below(sizeof odd / sizeof odd[0])];
            for (unsigned i = 0, n = 1u << below(4); i < n && at + i < in->size; i++)
                in->bytes[at + i] = (uint8_t)(value >> (8 * i));
            break;
        }
        case 3:
            in->size = at + 1;
            break;
        default: { /* bytes vanish or come twice */
            unsigned n = 1 + below(9), from = below((unsigned)in->size);
            if (from + n <= in->size && at + n <= in->size)
                memmove(in->bytes + at, in->bytes + from, in->size - (from > at ? from : at) < n ? 0 : n);
        }
        }
    }
}

static void make(input *in);

/* Made-up inputs until the time is over: seconds and a seed. */
static int run_for(const char *name, int argc, char **argv)
{
    static input in;
    double seconds = argc > 1 ? atof(argv[1]) : 10;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : (uint64_t)time(NULL);
    uint64_t runs = 0;
    time_t end = time(NULL) + (time_t)seconds;
    state = seed * 2654435761u + 88172645463325252u;
    printf("%s: seed %llu, %.0f s\n", name, (unsigned long long)seed, seconds);
    fflush(stdout);
    while (time(NULL) < end)
        for (int i = 0; i < 200; i++, runs++) {
            make(&in);
            damage(&in);
            LLVMFuzzerTestOneInput(in.bytes, in.size);
        }
    printf("%s: %llu inputs, nothing found\n", name, (unsigned long long)runs);
    return 0;
}

#endif
