/* Fuzz target of the transcoder: made-up results, damaged at random, under AddressSanitizer.
 *
 * An input is one byte with the number of columns, one byte for each column's kind, and the rows' bytes. Every input is
 * transcoded twice, cut into different packets and reads; both must end alike, and what comes out must be whole COPY
 * tuples. Built with -DSTANDALONE it makes its inputs itself (run with seconds and a seed); without, it is a
 * libFuzzer target.
 */
#include "rows.h"

/* What a column can be; `shape` says how a value is made up. */
enum shape { FIXED, BYTE, DECIMAL, SHORT, PLP, LOB };

static const struct {
    tc_spec spec;
    enum shape shape;
} kinds[] = {
    {{0x32, 0, 0, TC_BOOL, 0, -1, 1, 0}, FIXED},
    {{0x30, 0, 0, TC_INT2, 0, -1, 1, 0}, FIXED},
    {{0x34, 0, 0, TC_INT4, 0, -1, 2, 0}, FIXED},
    {{0x38, 0, 0, TC_INT4, 0, -1, 4, 0}, FIXED},
    {{0x7F, 0, 0, TC_NUMERIC, 0, -1, 8, 0}, FIXED},
    {{0x3C, 0, 0, TC_NUMERIC, 0, -1, 8, 0}, FIXED},
    {{0x3D, 0, 0, TC_TIMESTAMP, 0, -1, 8, 0}, FIXED},
    {{0x3A, 0, 0, TC_TIMESTAMP, 0, -1, 4, 0}, FIXED},
    {{0x3E, 0, 0, TC_FLOAT8, 0, -1, 8, 0}, FIXED},
    {{0x26, 0, 0, TC_INT8, 0, -1, 4, 0}, BYTE},
    {{0x26, 0, 0, TC_NONE, 0, -1, 8, 0}, BYTE},
    {{0x68, 0, 0, TC_BOOL, 0, -1, 1, 0}, BYTE},
    {{0x6E, 0, 0, TC_NUMERIC, 0, -1, 4, 0}, BYTE},
    {{0x6F, 0, 0, TC_TIMESTAMP, 0, -1, 8, 0}, BYTE},
    {{0x6D, 0, 0, TC_FLOAT8, 0, -1, 4, 0}, BYTE},
    {{0x24, 0, 0, TC_UUID, 0, -1, 16, 0}, BYTE},
    {{0x28, 0, 0, TC_DATE, 0, -1, 3, 0}, BYTE},
    {{0x29, 0, 7, TC_TIME, 0, -1, 5, 0}, BYTE},
    {{0x2A, 0, 3, TC_TIMESTAMP, 0, -1, 7, 0}, BYTE},
    {{0x2B, 0, 0, TC_TIMESTAMPTZ, 0, -1, 8, 0}, BYTE},
    {{0x6A, 38, 0, TC_NUMERIC, 0, -1, 17, 0}, DECIMAL},
    {{0x6C, 38, 38, TC_NUMERIC, 0, -1, 17, 0}, DECIMAL},
    {{0x6C, 20, 3, TC_NONE, 0, -1, 13, 0}, DECIMAL},
    {{0xE7, 0, 0, TC_TEXT, 0, -1, 200, 0}, SHORT},
    {{0xEF, 0, 0, TC_NONE, 0, -1, 200, 0}, SHORT},
    {{0xA7, 0, 0, TC_TEXT, 65001, -1, 200, 0}, SHORT},
    {{0xAF, 0, 0, TC_TEXT, 1252, -1, 200, 0}, SHORT},
    {{0xA5, 0, 0, TC_BYTEA, 0, -1, 200, 0}, SHORT},
    {{0xE7, 0, 0, TC_TEXT, 0, -1, 0xFFFF, 0}, PLP},
    {{0xA7, 0, 0, TC_TEXT, 65001, -1, 0xFFFF, 0}, PLP},
    {{0xA7, 0, 0, TC_TEXT, 1255, -1, 0xFFFF, 0}, PLP},
    {{0xA5, 0, 0, TC_BYTEA, 0, -1, 0xFFFF, 0}, PLP},
    {{0xF1, 0, 0, TC_TEXT, 0, -1, 0xFFFF, 0}, PLP},
    {{0x63, 0, 0, TC_TEXT, 0, -1, 0x7FFFFFFE, 0}, LOB},
    {{0x23, 0, 0, TC_TEXT, 1252, -1, 0x7FFFFFFF, 0}, LOB},
    {{0x22, 0, 0, TC_BYTEA, 0, -1, 0x7FFFFFFF, 0}, LOB},
};
#define KINDS (sizeof kinds / sizeof kinds[0])
#define MAX_COLUMNS 16

static uint8_t *packetise(const uint8_t *payload, size_t size, size_t packet, size_t *raw_size)
{
    uint8_t *raw = malloc(size + (size / packet + 2) * 8);
    size_t at = 0, out = 0;
    do {
        size_t n = size - at < packet ? size - at : packet;
        size_t length = n + 8;
        const uint8_t header[8] = {4, at + n == size, (uint8_t)(length >> 8), (uint8_t)length, 0, 0, 1, 0};
        memcpy(raw + out, header, 8);
        memcpy(raw + out + 8, payload + at, n);
        out += n + 8;
        at += n;
    } while (at < size);
    *raw_size = out;
    return raw;
}

static outcome transcode(const tc_spec *specs, int count, unsigned fields, const uint8_t *payload, size_t size,
                         size_t packet, size_t step, uint64_t max_rows, int strip)
{
    outcome o = {0};
    const char *why;
    int at;
    size_t raw_size, used = 0;
    uint8_t *raw = packetise(payload, size, packet, &raw_size);
    tc *t = tc_new(specs, count, strip, 0, &why, &at);
    if (!t)
        FAIL("columns refused: %s (column %d)", why, at);
    for (;;) {
        o.status = tc_run(t, max_rows, 1 << 20);
        keep_tuples(&o, t, fields);
        for (int i = 0; i < tc_key_count(t); i++) {
            const tc_key *key = tc_key_at(t, i);
            if (key->state == 2 && key->length > key->capacity)
                FAIL("a key is longer than its buffer");
        }
        if (o.status == TC_INPUT && used < raw_size)
            used += feed(t, raw + used, raw_size - used, step);
        else if (o.status != TC_CHUNK)
            break;
    }
    o.fault = *tc_last_fault(t);
    if (o.status == TC_INPUT)
        FAIL("more input is wanted behind the end of the message");
    while (o.status == TC_TOKEN && tc_extend(t) == TC_CHUNK) {
    }
    if (tc_discard(t, 13) == TC_INPUT && used == raw_size)
        FAIL("more input is wanted while discarding");
    tc_free(t);
    free(raw);
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tc_spec specs[MAX_COLUMNS];
    unsigned fields = 0;
    int count, key = 0;
    outcome one, two;
    if (size < 1 || size > MAX_INPUT)
        return 0;
    count = data[0] % MAX_COLUMNS + 1;
    if (size < (size_t)count + 1)
        return 0;
    for (int i = 0; i < count; i++) {
        unsigned kind = data[1 + i] % KINDS;
        specs[i] = kinds[kind].spec;
        fields += specs[i].encoding != TC_NONE;
        if (kinds[kind].shape < PLP && (data[1 + i] & 0x80))
            specs[i].key = (int16_t)key++;
    }
    data += 1 + count;
    size -= 1 + (size_t)count;
    one = transcode(specs, count, fields, data, size, 32759, SIZE_MAX, UINT64_MAX, 0);
    two = transcode(specs, count, fields, data, size, 1 + size % 61, 1 + size % 37, 1 + size % 5, 0);
    /* Rows before a malformed one may have gone out in an earlier chunk. */
    if (one.status != two.status || (one.status != TC_MALFORMED && (one.rows != two.rows || one.size != two.size)))
        FAIL("the outcome depends on packets: %d %d, %llu %llu rows, %zu %zu bytes", one.status, two.status,
             (unsigned long long)one.rows, (unsigned long long)two.rows, one.size, two.size);
    if (one.status != TC_MALFORMED && one.size && memcmp(one.data, two.data, one.size))
        FAIL("the tuples depend on packets");
    /* Where a value is too large as well, its last piece decides which fault comes first. */
    if (one.fault.column != two.fault.column ||
        (one.fault.code != two.fault.code && one.fault.code != TC_F_TOO_LARGE && two.fault.code != TC_F_TOO_LARGE))
        FAIL("the fault depends on packets: %d %d", one.fault.code, two.fault.code);
    free(one.data);
    free(two.data);
    one = transcode(specs, count, fields, data, size, 1 + size % 251, 4096, 3, 1);
    free(one.data);
    return 0;
}

#if defined(STANDALONE)

static void put_value(input *in, unsigned kind)
{
    unsigned size = kinds[kind].spec.length;
    if (kinds[kind].shape != FIXED && below(5) == 0) { /* NULL */
        static const unsigned null_size[] = {[BYTE] = 1, [DECIMAL] = 1, [SHORT] = 2, [PLP] = 8, [LOB] = 1};
        unsigned n = null_size[kinds[kind].shape];
        put(in, n == 1 ? 0 : UINT64_MAX, n);
        return;
    }
    switch (kinds[kind].shape) {
    case BYTE:
    case DECIMAL:
        if (kinds[kind].shape == DECIMAL)
            size = 1 + 4 * (1 + below(4));
        put(in, size, 1);
        /* fall through */
    case FIXED:
        for (unsigned i = 0; i < size; i++)
            put(in, below(3) ? below(4) : next(), 1);
        return;
    case SHORT:
        size = below(3) ? below(20) * 2 : below(100) * 2;
        put(in, size, 2);
        put_data(in, size);
        return;
    case PLP:
        size = below(60) * 2;
        put(in, below(2) ? size : UINT64_MAX - 1, 8);
        while (size) {
            unsigned part = 1 + below(size);
            put(in, part, 4);
            put_data(in, part);
            size -= part;
        }
        put(in, 0, 4);
        return;
    case LOB:
        size = below(60) * 2;
        put(in, 16, 1);
        put_data(in, 24);
        put(in, size, 4);
        put_data(in, size);
        return;
    }
}

static void make(input *in)
{
    unsigned count = 1 + below(MAX_COLUMNS), rows = below(8);
    in->size = 0;
    put(in, count - 1, 1);
    for (unsigned i = 0; i < count; i++)
        put(in, below(KINDS) + (below(3) ? 0 : KINDS * ((255 - KINDS) / KINDS)), 1);
    while (rows--) {
        if (below(2)) {
            put(in, 0xD1, 1);
            for (unsigned i = 0; i < count; i++)
                put_value(in, in->bytes[1 + i] % KINDS);
            continue;
        }
        size_t bitmap = in->size + 1;
        put(in, 0xD2, 1);
        put(in, 0, (count + 7) / 8);
        for (unsigned i = 0; i < count; i++) {
            if (below(3) == 0 && bitmap + i / 8 < MAX_INPUT)
                in->bytes[bitmap + i / 8] |= (uint8_t)(1 << i % 8);
            else
                put_value(in, in->bytes[1 + i] % KINDS);
        }
    }
    put(in, 0xFD, 1);
    put(in, 0, 12);
}

int main(int argc, char **argv) { return run_for("fuzz_transcode", argc, argv); }

#endif
