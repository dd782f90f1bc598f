/* Fuzz target of the transcoder's other side: made-up BCP data files, damaged at random, under AddressSanitizer.
 *
 * An input is one byte with the number of columns, one byte for each column's kind (its highest bit: nullable), and the
 * rows' bytes. Every input is transcoded twice, in one piece and in small ones with chunks of few rows; both must end
 * alike, and what comes out must be whole COPY tuples. Built with -DSTANDALONE it makes its inputs itself (run with
 * seconds and a seed); without, it is a libFuzzer target.
 */
#include "rows.h"

/* What a column can be; `prefix` is the size of the length before its values where it is nullable, else `plain`. */
static const struct {
    tc_spec spec;
    uint8_t plain, prefix, size;
} kinds[] = {
    {{0x32, 0, 0, TC_BOOL, 0, -1, 1, 0}, 1, 1, 1},
    {{0x30, 0, 0, TC_INT2, 0, -1, 1, 0}, 0, 1, 1},
    {{0x34, 0, 0, TC_INT4, 0, -1, 2, 0}, 0, 1, 2},
    {{0x38, 0, 0, TC_INT4, 0, -1, 4, 0}, 0, 1, 4},
    {{0x7F, 0, 0, TC_NUMERIC, 0, -1, 8, 0}, 0, 1, 8},
    {{0x7F, 0, 0, TC_NONE, 0, -1, 8, 0}, 0, 1, 8},
    {{0x3B, 0, 0, TC_FLOAT8, 0, -1, 4, 0}, 0, 1, 4},
    {{0x3E, 0, 0, TC_FLOAT8, 0, -1, 8, 0}, 0, 1, 8},
    {{0x3C, 0, 0, TC_NUMERIC, 0, -1, 8, 0}, 0, 1, 8},
    {{0x7A, 0, 0, TC_NUMERIC, 0, -1, 4, 0}, 0, 1, 4},
    {{0x3D, 0, 0, TC_TIMESTAMP, 0, -1, 8, 0}, 0, 1, 8},
    {{0x3A, 0, 0, TC_TIMESTAMP, 0, -1, 4, 0}, 0, 1, 4},
    {{0x24, 0, 0, TC_UUID, 0, -1, 16, 0}, 1, 1, 16},
    {{0x28, 0, 0, TC_DATE, 0, -1, 3, 0}, 0, 1, 3},
    {{0x29, 0, 7, TC_TIME, 0, -1, 5, 0}, 0, 1, 5},
    {{0x2A, 0, 3, TC_TIMESTAMP, 0, -1, 7, 0}, 0, 1, 7},
    {{0x2B, 0, 0, TC_TIMESTAMPTZ, 0, -1, 8, 0}, 0, 1, 8},
    {{0x6A, 38, 38, TC_NUMERIC, 0, -1, 17, 0}, 1, 1, 19},
    {{0x6C, 20, 3, TC_NONE, 0, -1, 13, 0}, 1, 1, 19},
    {{0xAF, 0, 0, TC_TEXT, 0, -1, 20, 0}, 0, 2, 20},
    {{0xAF, 0, 0, TC_NONE, 0, -1, 20, 0}, 0, 2, 20},
    {{0xEF, 0, 0, TC_TEXT, 0, -1, 20, 0}, 2, 2, 20},
    {{0xA7, 0, 0, TC_TEXT, 0, -1, 200, 0}, 2, 2, 0},
    {{0xE7, 0, 0, TC_NONE, 0, -1, 200, 0}, 2, 2, 0},
    {{0xAD, 0, 0, TC_BYTEA, 0, -1, 8, 0}, 2, 2, 8},
    {{0xA5, 0, 0, TC_BYTEA, 0, -1, 200, 0}, 2, 2, 0},
    {{0xE7, 0, 0, TC_TEXT, 0, -1, 0xFFFF, 0}, 8, 8, 0},
    {{0xA7, 0, 0, TC_NONE, 0, -1, 0xFFFF, 0}, 8, 8, 0},
    {{0xA5, 0, 0, TC_BYTEA, 0, -1, 0xFFFF, 0}, 8, 8, 0},
    {{0xF1, 0, 0, TC_TEXT, 0, -1, 0xFFFF, 0}, 8, 8, 0},
    {{0xF0, 0, 0, TC_MARKED, 0, -1, 0xFFFF, 0}, 8, 8, 0},
    {{0x63, 0, 0, TC_TEXT, 0, -1, 0, 0}, 4, 4, 0},
    {{0x22, 0, 0, TC_BYTEA, 0, -1, 0, 0}, 4, 4, 0},
};
#define KINDS (sizeof kinds / sizeof kinds[0])
#define MAX_COLUMNS 16
#define NULLABLE 0x80

static void check_marks(const tc *t)
{
    size_t count;
    const uint64_t *marks = tc_marks(t, &count);
    for (size_t i = 0; i < count; i++)
        if (marks[i] >> 16 >= t->out_len || (int)(marks[i] & 0xFFFF) >= t->count)
            FAIL("a mark outside the tuples");
}

/* The file twice, one after the other, as the files of one table are. */
static outcome transcode(const tc_spec *specs, int count, unsigned fields, const uint8_t *data, size_t size, size_t step,
                         uint64_t max_rows, int strip)
{
    outcome o = {0};
    const char *why;
    int at;
    tc *t = tc_new_bcp(specs, count, strip, 0, &why, &at);
    if (!t)
        FAIL("columns refused: %s (column %d)", why, at);
    for (int file = 0; file < 2; file++) {
        size_t used = 0;
        tc_again(t);
        for (;;) {
            o.status = tc_run(t, max_rows, 1 << 20);
            check_marks(t);
            if (o.status == TC_CHUNK)
                keep_tuples(&o, t, fields);
            else if (o.status == TC_INPUT && used < size)
                used += feed(t, data + used, size - used, step);
            else if (o.status == TC_INPUT && !t->packet_last)
                tc_finish(t);
            else
                break;
        }
        if (o.status != TC_END)
            break;
    }
    keep_tuples(&o, t, fields);
    o.fault = *tc_last_fault(t);
    if (o.status != TC_END && o.status != TC_DATA && o.status != TC_MALFORMED)
        FAIL("status %d at the end of the file", o.status);
    tc_free(t);
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tc_spec specs[MAX_COLUMNS];
    unsigned fields = 0;
    int count;
    outcome one, two;
    if (size < 1 || size > MAX_INPUT)
        return 0;
    count = data[0] % MAX_COLUMNS + 1;
    if (size < (size_t)count + 1)
        return 0;
    for (int i = 0; i < count; i++) {
        specs[i] = kinds[(data[1 + i] & ~NULLABLE) % KINDS].spec;
        specs[i].nullable = (data[1 + i] & NULLABLE) != 0;
        fields += specs[i].encoding != TC_NONE;
    }
    data += 1 + count;
    size -= 1 + (size_t)count;
    one = transcode(specs, count, fields, data, size, SIZE_MAX, UINT64_MAX, 0);
    two = transcode(specs, count, fields, data, size, 1 + size % 37, 1 + size % 5, 0);
    /* Rows before a malformed one may have gone out in an earlier chunk. */
    if (one.status != two.status || (one.status != TC_MALFORMED && (one.rows != two.rows || one.size != two.size)))
        FAIL("the outcome depends on pieces: %d %d, %llu %llu rows, %zu %zu bytes", one.status, two.status,
             (unsigned long long)one.rows, (unsigned long long)two.rows, one.size, two.size);
    if (one.status != TC_MALFORMED && one.size && memcmp(one.data, two.data, one.size))
        FAIL("the tuples depend on pieces");
    /* Where a value is too large as well, its last piece decides which fault comes first. */
    if (one.fault.column != two.fault.column ||
        (one.fault.code != two.fault.code && one.fault.code != TC_F_TOO_LARGE && two.fault.code != TC_F_TOO_LARGE))
        FAIL("the fault depends on pieces: %d %d", one.fault.code, two.fault.code);
    free(one.data);
    free(two.data);
    one = transcode(specs, count, fields, data, size, 4096, 3, 1);
    free(one.data);
    return 0;
}

#if defined(STANDALONE)

static void put_value(input *in, unsigned kind, int nullable)
{
    unsigned prefix = nullable ? kinds[kind].prefix : kinds[kind].plain;
    unsigned size = kinds[kind].size ? kinds[kind].size : below(3) ? below(20) * 2 : below(100) * 2;
    unsigned type = kinds[kind].spec.type_id;
    if (nullable && below(4) == 0) {
        put(in, UINT64_MAX, prefix);
        return;
    }
    put(in, size, prefix);
    if (type == 0x6A || type == 0x6C) {
        put(in, 1 + below(38), 1);
        put(in, below(kinds[kind].spec.scale + 1u), 1);
        put(in, below(2), 1);
        size -= 3;
    }
    if (kinds[kind].prefix > 1) {
        put_data(in, size);
        return;
    }
    for (unsigned i = 0; i < size; i++)
        put(in, below(3) ? below(4) : next(), 1);
}

static void make(input *in)
{
    unsigned count = 1 + below(MAX_COLUMNS), rows = below(8);
    in->size = 0;
    put(in, count - 1, 1);
    for (unsigned i = 0; i < count; i++)
        put(in, below(KINDS) | (below(2) ? NULLABLE : 0), 1);
    while (rows--)
        for (unsigned i = 0; i < count; i++)
            put_value(in, in->bytes[1 + i] & ~NULLABLE, in->bytes[1 + i] & NULLABLE);
}

int main(int argc, char **argv) { return run_for("fuzz_bcp", argc, argv); }

#endif
