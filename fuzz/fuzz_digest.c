/* Fuzz target of the digest: made-up COPY data, damaged at random, under AddressSanitizer.
 *
 * An input is one byte with the number of columns (0 to 7) and three flags, one byte for each column's kind and role, and
 * the data. Every input is digested twice: whole, and in pieces whose rests are joined as a reader of a socket does.
 * Both must end alike. Built with -DSTANDALONE it makes its inputs itself (run with seconds and a seed); without, it is
 * a libFuzzer target.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "digest.h"
#include "rowhash.h"

#define FAIL(...) (fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), abort())

#define MAX_COLUMNS 7
#define BITS 3
#define MAX_INPUT 8000

typedef struct {
    int status;
    int fault;
    int column;
    int64_t detail;
    uint64_t rows;
    size_t used;
    uint64_t sum; /* of what the buckets or the list hold */
} outcome;

/* A copy of exactly that size, so that a read behind it is seen. */
static uint8_t *exact(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy)
        FAIL("no memory");
    if (size)
        memcpy(copy, data, size);
    return copy;
}

static uint64_t summed(const uint8_t *data, size_t size)
{
    uint64_t sum = size;
    for (size_t i = 0; i < size; i++)
        sum = sum * 31 + data[i];
    return sum;
}

static const uint8_t KEY[DG_KEY_BYTES] = "a point and three words for the rounds..";
static const uint8_t CHOSEN[1] = {0x5A};

/* What was kept is whole tuples, as many as were counted. */
static uint64_t check_kept(dg *d, const uint8_t *kinds, const uint8_t *roles, int columns)
{
    size_t count, used = 0;
    uint64_t rows, whole;
    const uint8_t *tuples = dg_kept(d, &count, &rows);
    dg *again = dg_new(kinds, roles, columns, KEY, BITS, 0);
    uint8_t *input = exact(tuples, count);
    if (!again || dg_update(again, input, count, &used) != DG_MORE || used != count)
        FAIL("what was kept is not whole tuples");
    whole = dg_rows(again);
    free(input);
    dg_free(again);
    if (whole != rows)
        FAIL("%llu tuples kept, %llu counted", (unsigned long long)whole, (unsigned long long)rows);
    return summed(tuples, count);
}

/* What was listed is whole records of rows of the chosen buckets. */
static uint64_t check_listed(dg *d)
{
    size_t count;
    const uint8_t *listed = dg_listed(d, &count);
    for (size_t at = 0; at < count;) {
        uint32_t length;
        if (count - at < 4)
            FAIL("half a record");
        length = (uint32_t)listed[at] | (uint32_t)listed[at + 1] << 8 | (uint32_t)listed[at + 2] << 16 |
                 (uint32_t)listed[at + 3] << 24;
        if (length < 20 || length > count - at - 4)
            FAIL("a record of %u bytes", length);
        if (!(CHOSEN[0] >> listed[at + 4] & 1))
            FAIL("a row of a bucket that was not chosen");
        at += 4 + (size_t)length;
    }
    return summed(listed, count);
}

/* The buckets hold every row that was taken. */
static uint64_t check_buckets(dg *d)
{
    size_t count;
    uint64_t rows = 0;
    const dg_bucket *buckets = dg_buckets(d, &count);
    for (size_t i = 0; i < count; i++)
        rows += buckets[i].count;
    if (rows != dg_rows(d))
        FAIL("%llu rows in the buckets, %llu taken", (unsigned long long)rows, (unsigned long long)dg_rows(d));
    return summed((const uint8_t *)buckets, count * sizeof *buckets);
}

static outcome digest(const uint8_t *kinds, const uint8_t *roles, int columns, int flags, const uint8_t *data,
                      size_t size, uint32_t piece)
{
    outcome o = {0};
    size_t kept = 0;
    dg *d = dg_new(kinds, roles, columns, KEY, BITS, flags & 1);
    if (!d)
        FAIL("dg_new refused %d columns", columns);
    if (flags & 4)
        dg_keep(d, CHOSEN);
    else if (flags & 2)
        dg_select(d, CHOSEN);
    for (size_t at = 0; at <= size && o.status == DG_MORE;) {
        size_t more = piece ? piece : size;
        uint8_t *input;
        size_t used = 0, all;
        if (more > size - at)
            more = size - at;
        all = kept + more;
        input = exact(data + at - kept, all);
        o.status = dg_update(d, input, all, &used);
        free(input);
        if (used > all)
            FAIL("used %zu of %zu bytes", used, all);
        o.used += used;
        kept = all - used;
        at += more;
        if (at == size)
            break;
        if (o.status == DG_END)
            o.status = DG_MORE; /* what follows is refused */
    }
    if (o.status == DG_MALFORMED)
        o.fault = dg_fault_at(d, &o.column, &o.detail);
    o.rows = dg_rows(d);
    if (flags & 4)
        o.sum = check_kept(d, kinds, roles, columns);
    else if (flags & 2)
        o.sum = check_listed(d);
    else
        o.sum = check_buckets(d);
    dg_forget_listed(d);
    dg_free(d);
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t kinds[MAX_COLUMNS + 1] = {0}, roles[MAX_COLUMNS + 1] = {0};
    int columns, flags;
    outcome whole, pieces;
    uint32_t piece = 1;
    if (size < 1)
        return 0;
    columns = data[0] & 7;
    flags = data[0] >> 3 & 7;
    if (size < 1 + (size_t)columns)
        return 0;
    for (int i = 0; i < columns; i++) {
        kinds[i] = data[1 + i] % DG_KINDS;
        roles[i] = data[1 + i] / DG_KINDS % DG_ROLES;
        piece = piece * 5 + data[1 + i];
    }
    data += 1 + columns;
    size -= 1 + (size_t)columns;
    whole = digest(kinds, roles, columns, flags, data, size, 0);
    pieces = digest(kinds, roles, columns, flags, data, size, 1 + piece % 97);
    if (whole.status != pieces.status || whole.fault != pieces.fault || whole.rows != pieces.rows ||
        whole.used != pieces.used || whole.sum != pieces.sum || whole.column != pieces.column)
        FAIL("whole: status %d fault %d rows %llu used %zu, in pieces: %d %d %llu %zu", whole.status, whole.fault,
             (unsigned long long)whole.rows, whole.used, pieces.status, pieces.fault,
             (unsigned long long)pieces.rows, pieces.used);
    return 0;
}

#ifdef STANDALONE

static uint64_t state;

static uint32_t below(uint32_t n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return n ? (uint32_t)(state >> 20) % n : 0;
}

static uint8_t *put32(uint8_t *o, uint32_t v)
{
    for (int i = 3; i >= 0; i--)
        *o++ = (uint8_t)(v >> 8 * i);
    return o;
}

static uint8_t *put_field(uint8_t *o, uint8_t kind)
{
    uint32_t size = below(8) ? below(40) : below(300);
    if (below(8) == 0)
        return put32(o, 0xFFFFFFFFu);
    if (kind == DG_INTEGER || kind == DG_INT_NUMERIC)
        size = 2u << below(3);
    else if (kind == DG_FLOAT)
        size = 4u << below(2);
    else if (kind == DG_NUMERIC) {
        uint32_t groups = below(6);
        size = 8 + 2 * groups;
        o = put32(o, size);
        *o++ = 0;
        *o++ = (uint8_t)groups;
        for (uint32_t i = 2; i < size; i++)
            *o++ = (uint8_t)(below(3) ? 0 : below(256));
        return o;
    }
    o = put32(o, size);
    while (size--)
        *o++ = (uint8_t)(below(4) ? below(256) : ' ');
    return o;
}

/* The product that other machines compute must be the one of this machine. */
static void check_product(void)
{
    static const uint64_t ends[] = {0, 1, 0xFFFFFFFFu, UINT64_C(0x100000000), UINT64_MAX >> 1, UINT64_MAX};
    uint64_t high, portable_high;
    uint64_t a = below(2) ? ends[below(6)] : (uint64_t)below(1u << 31) << 33 ^ below(1u << 31);
    uint64_t b = below(2) ? ends[below(6)] : (uint64_t)below(1u << 31) << 33 ^ below(1u << 31);
    uint64_t low = rh_multiply(a, b, &high);
    if (low != rh_multiply_portable(a, b, &portable_high) || high != portable_high)
        FAIL("%llx * %llx", (unsigned long long)a, (unsigned long long)b);
}

static size_t make_input(uint8_t *input)
{
    static const uint8_t header[19] = "PGCOPY\n\377\r\n";
    uint8_t *o = input;
    int columns = (int)below(8);
    uint8_t kinds[MAX_COLUMNS];
    int rows = (int)below(12);
    *o++ = (uint8_t)(columns | (int)below(4) << 3);
    for (int i = 0; i < columns; i++) {
        uint8_t both = (uint8_t)below(DG_KINDS * DG_ROLES);
        kinds[i] = both % DG_KINDS;
        *o++ = both;
    }
    if (input[0] >> 3 & 1) {
        memcpy(o, header, sizeof header);
        o += sizeof header;
    }
    for (int r = 0; r < rows && o - input < MAX_INPUT - 2500; r++) {
        *o++ = 0;
        *o++ = (uint8_t)columns;
        for (int i = 0; i < columns; i++)
            o = put_field(o, kinds[i]);
    }
    if (below(2)) {
        *o++ = 0xFF;
        *o++ = 0xFF;
    }
    return (size_t)(o - input);
}

int main(int argc, char **argv)
{
    static uint8_t input[MAX_INPUT];
    double seconds = argc > 1 ? atof(argv[1]) : 5;
    time_t end = time(NULL) + (time_t)seconds;
    uint64_t runs = 0;
    state = argc > 2 ? strtoull(argv[2], NULL, 10) : (uint64_t)time(NULL) * 2654435761u + 1;
    printf("seed %llu\n", (unsigned long long)state);
    fflush(stdout);
    while (time(NULL) < end) {
        size_t size = make_input(input);
        uint32_t damage = below(3) ? below(6) : 0;
        size_t length = size;
        for (uint32_t i = 0; i < damage; i++) {
            size_t at = below((uint32_t)size);
            static const uint8_t odd[] = {0, 1, 2, 0x7F, 0x80, 0xFE, 0xFF};
            input[at] = below(2) ? odd[below(sizeof odd)] : (uint8_t)below(256);
        }
        if (below(4) == 0)
            length = below((uint32_t)size + 1);
        LLVMFuzzerTestOneInput(input, length);
        check_product();
        runs++;
    }
    printf("%llu inputs, nothing found\n", (unsigned long long)runs);
    return 0;
}

#endif
