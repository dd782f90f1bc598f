/* The row loop. */
#include "transcode.h"

#include <string.h>

#include "core.h"
#include "fields.h"

#define TOKEN_ROW 0xD1
#define TOKEN_NBCROW 0xD2

/* [MS-TDS] 2.2.5.5.7: layout, version, dimensions, type of the values, three reserved bytes, the values. */
static int put_vector(uint8_t **out, const uint8_t *p, size_t size)
{
    uint8_t *o = *out;
    size_t count;
    if (size < 8 || p[0] != 0xA9 || p[1] != 1 || p[4] != 0)
        return 0;
    count = le16(p + 2);
    if (size != 8 + 4 * count)
        return 0;
    o[0] = p[3];
    o[1] = p[2];
    o[2] = o[3] = 0;
    o += 4;
    for (p += 8; count--; p += 4, o += 4)
        put32(o, le32(p));
    *out = o;
    return 1;
}

int value_piece(tc *t, const column *c, size_t prefix, size_t size)
{
    const uint8_t *p = t->in + t->pos + prefix;
    uint8_t *start, *o;
    if (!reserve(t, 4 + tx_room(size) + t->row_room))
        return t->stopped = TC_MEMORY;
    start = t->out + t->out_len;
    o = start + 4;
    if (c->conversion == CV_TEXT) {
        tx_options options = {c->page, t->text.strip_nul};
        tx_fault fault = {0, 0};
        if (c->convert(p, size, &o, &options, 1, &fault) != size)
            return malformed(t, TC_F_ODD_TEXT, size);
        if (fault.code)
            poisoned(t, fault.code, fault.detail);
    } else if (c->conversion == CV_BYTES) {
        memcpy(o, p, size);
        o += size;
    } else if (c->conversion == CV_VECTOR) {
        if (!put_vector(&o, p, size))
            return malformed(t, TC_F_VALUE, size);
    }
    if (c->conversion != CV_NONE)
        put32(start, (uint32_t)(o - start - 4));
    else
        o = start;
    if (!keep_value(c, p, size))
        return malformed(t, TC_F_LENGTH, size);
    t->out_len = (size_t)(o - t->out);
    t->pos += prefix + size;
    return TC_CHUNK;
}

int value_short(tc *t, const column *c, size_t longest)
{
    size_t have = t->lim - t->pos;
    size_t size;
    if (have < 2)
        return TC_INPUT;
    size = le16(t->in + t->pos);
    if (size == 0xFFFF) {
        if (!reserve(t, 4 + t->row_room))
            return t->stopped = TC_MEMORY;
        put_null_field(t, c);
        t->pos += 2;
        keep_null(c);
        return TC_CHUNK;
    }
    if (size > longest)
        return malformed(t, TC_F_LENGTH, size);
    return have - 2 < size ? TC_INPUT : value_piece(t, c, 2, size);
}

static int large_value(tc *t, const column *c)
{
    int status;
    if (c->framing == FR_SHORT)
        return value_short(t, c, 0xFFFE);
    status = stream_open(t, c);
    if (status == TC_CHUNK && t->phase != PH_ROW)
        status = stream_run(t);
    return status;
}

/* The columns from t->column on, for which there is room in the output. TC_CHUNK when the row is complete. */
static int run_columns(tc *t)
{
    const uint8_t *p = t->in + t->pos;
    const uint8_t *lim = t->in + t->lim;
    uint8_t *o = t->out + t->out_len;
    int i;
    int status = TC_INPUT;
    for (i = t->column; i < t->count; i++) {
        const column *c = &t->columns[i];
        if (t->nbc && t->nulls[i >> 3] >> (i & 7) & 1) {
            put_null(o);
            o += c->null_size;
            keep_null(c);
            continue;
        }
        if (c->framing <= FR_BYTE) {
            unsigned size = c->size;
            unsigned prefix = c->framing;
            uint8_t *next;
            if (prefix) {
                if (p == lim)
                    goto stop;
                size = *p;
                if (size == 0) {
                    p++;
                    put_null(o);
                    o += c->null_size;
                    keep_null(c);
                    continue;
                }
            }
            if ((size_t)(lim - p) < prefix + size)
                goto stop;
            if (size != c->size && (c->size || size < 2 || size > 17))
                goto bad_length;
            next = put_small(o, c, p + prefix, size);
            if (!next) {
                t->column = i;
                return malformed(t, TC_F_VALUE, size);
            }
            keep_value(c, p + prefix, size);
            o = next;
            p += prefix + size;
            continue;
        bad_length:
            t->column = i;
            return malformed(t, TC_F_LENGTH, size);
        }
        t->column = i;
        t->pos = (size_t)(p - t->in);
        t->out_len = (size_t)(o - t->out);
        status = large_value(t, c);
        if (status != TC_CHUNK)
            return status;
        status = TC_INPUT;
        p = t->in + t->pos;
        o = t->out + t->out_len;
    }
    status = TC_CHUNK;
stop:
    t->column = i;
    t->pos = (size_t)(p - t->in);
    t->out_len = (size_t)(o - t->out);
    return status;
}

/* The token byte of a row and, for NBCROW, its null bitmap. TC_CHUNK when a row has begun. */
static int begin_row(tc *t)
{
    uint8_t token = t->in[t->pos];
    if (token == TOKEN_NBCROW) {
        if (t->lim - t->pos < 1 + t->nulls_size)
            return TC_INPUT;
        memcpy(t->nulls, t->in + t->pos + 1, t->nulls_size);
        t->pos += 1 + t->nulls_size;
    } else if (token == TOKEN_ROW) {
        t->pos += 1;
    } else {
        return TC_TOKEN;
    }
    if (!reserve(t, t->row_room))
        return t->stopped = TC_MEMORY;
    t->nbc = token == TOKEN_NBCROW;
    t->row_start = t->out_len;
    t->out_len = (size_t)(put16(t->out + t->out_len, (uint32_t)t->fields) - t->out);
    t->column = 0;
    t->phase = PH_ROW;
    return TC_CHUNK;
}

/* Rows out of [pos, lim). TC_INPUT when that is used up, but for an incomplete tail. */
static int run_rows(tc *t, uint64_t max_rows, size_t max_bytes)
{
    while (t->pos < t->lim) {
        int status;
        if (t->phase == PH_TOKEN) {
            status = begin_row(t);
            if (status != TC_CHUNK)
                return status;
        }
        if (t->phase > PH_ROW) {
            status = stream_run(t);
            if (status != TC_CHUNK)
                return status;
            t->column++;
        }
        status = run_columns(t);
        if (status != TC_CHUNK)
            return status;
        t->phase = PH_TOKEN;
        if (t->fault.code) {
            t->out_len = t->row_start;
            return t->stopped = TC_DATA;
        }
        t->rows++;
        if (t->rows >= max_rows || t->out_len >= max_bytes)
            return TC_CHUNK;
    }
    return TC_INPUT;
}

int tc_run(tc *t, uint64_t max_rows, size_t max_bytes)
{
    while (!t->stopped) {
        int status = t->bcp ? bcp_rows(t, max_rows, max_bytes) : run_rows(t, max_rows, max_bytes);
        if (status != TC_INPUT)
            return status;
        status = input_extend(t);
        if (status == TC_END && (t->phase != PH_TOKEN || t->pos != t->lim))
            return malformed(t, TC_F_TRUNCATED, t->lim - t->pos);
        if (status != TC_CHUNK)
            return status;
    }
    return t->stopped;
}
