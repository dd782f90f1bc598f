/* The row loop. */
#include "transcode.h"

#include <string.h>

#include "core.h"
#include "values.h"

#define TOKEN_ROW 0xD1
#define TOKEN_NBCROW 0xD2

static inline uint8_t *put_small(uint8_t *o, const column *c, const uint8_t *v, unsigned size)
{
    switch (c->conversion) {
    case CV_BOOL:
        return put_bool(o, v[0]);
    case CV_SWAP2:
        return put_field2(o, le16(v));
    case CV_SWAP4:
        return put_field4(o, le32(v));
    case CV_SWAP8:
        return put_field8(o, le64(v));
    case CV_WIDEN2:
        return put_field2(o, (uint32_t)load_integer(v, size));
    case CV_WIDEN4:
        return put_field4(o, (uint32_t)load_integer(v, size));
    case CV_WIDEN8:
        return put_field8(o, (uint64_t)load_integer(v, size));
    case CV_INT_NUMERIC:
        return put_signed_numeric(o, load_integer(v, size), 0);
    case CV_DECIMAL:
        return put_decimal(o, v, size, c->scale);
    case CV_MONEY:
        return put_signed_numeric(o, load_money(v), 4);
    case CV_SMALLMONEY:
        return put_signed_numeric(o, (int32_t)le32(v), 4);
    case CV_DOUBLE:
        return put_float_as_double(o, v);
    case CV_UUID:
        return put_uuid(o, v);
    case CV_DATE:
        return put_date(o, v);
    case CV_TIME:
        return put_time(o, v, c->scale);
    case CV_DATETIME2:
        return put_datetime2(o, v, c->scale);
    case CV_DATETIME:
        return put_datetime(o, v);
    case CV_SMALLDATETIME:
        return put_smalldatetime(o, v);
    default:
        return o;
    }
}

static inline void keep_null(const column *c)
{
    if (c->key)
        c->key->state = 1;
}

static inline int keep_value(const column *c, const uint8_t *v, size_t size)
{
    if (c->key) {
        if (size > c->key->capacity)
            return 0;
        if (size == 4)
            memcpy(c->key->data, v, 4);
        else if (size == 8)
            memcpy(c->key->data, v, 8);
        else
            memcpy(c->key->data, v, size);
        c->key->length = size;
        c->key->state = 2;
    }
    return 1;
}

/* A char, varchar, binary ... value of at most 65534 bytes. TC_CHUNK when it is done. */
static int short_value(tc *t, const column *c)
{
    const uint8_t *p = t->in + t->pos;
    size_t have = t->lim - t->pos;
    size_t size;
    uint8_t *start, *o;
    if (have < 2)
        return TC_INPUT;
    size = le16(p);
    if (size == 0xFFFF) {
        if (!reserve(t, 4 + t->row_room))
            return t->stopped = TC_MEMORY;
        put_null_field(t, c);
        t->pos += 2;
        keep_null(c);
        return TC_CHUNK;
    }
    if (have - 2 < size)
        return TC_INPUT;
    if (!reserve(t, 4 + tx_room(size) + t->row_room))
        return t->stopped = TC_MEMORY;
    p += 2;
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
    }
    if (c->conversion != CV_NONE)
        put32(start, (uint32_t)(o - start - 4));
    else
        o = start;
    if (!keep_value(c, p, size))
        return malformed(t, TC_F_LENGTH, size);
    t->out_len = (size_t)(o - t->out);
    t->pos += 2 + size;
    return TC_CHUNK;
}

static int large_value(tc *t, const column *c)
{
    int status;
    if (c->framing == FR_SHORT)
        return short_value(t, c);
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
        int status = run_rows(t, max_rows, max_bytes);
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
