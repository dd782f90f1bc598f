/* What the rows of every format are made of: small values, values with a length, values kept for the key, and the loop
 * over rows. All of it is inline, so that each format gets a loop of its own. */
#ifndef MSSQL_PG_MIGRATE_FIELDS_H
#define MSSQL_PG_MIGRATE_FIELDS_H

#include <string.h>

#include "core.h"
#include "output.h"
#include "stream.h"
#include "values.h"

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

/* [MS-TDS] 2.2.5.5.7: layout, version, dimensions, type of the values, three reserved bytes, the values. */
static inline int put_vector(uint8_t **out, const uint8_t *p, size_t size)
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

/* A char, varchar, binary ... value of `size` bytes, all of which have arrived behind `prefix` bytes. */
static inline int value_piece(tc *t, const column *c, size_t prefix, size_t size)
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

/* The same with a 2-byte length, 0xFFFF being NULL. TC_CHUNK when it is done. */
static inline int value_short(tc *t, const column *c, size_t longest)
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

/* The two steps of a row: its beginning, then its columns from t->column on. TC_CHUNK when done. */
typedef int row_step(tc *t);

/* Rows out of [pos, lim). TC_INPUT when that is used up, but for an incomplete tail. */
static inline int run_rows(tc *t, uint64_t max_rows, size_t max_bytes, row_step *begin, row_step *columns)
{
    while (t->pos < t->lim) {
        int status;
        if (t->phase == PH_TOKEN) {
            status = begin(t);
            if (status != TC_CHUNK)
                return status;
        }
        if (t->phase > PH_ROW) {
            status = stream_run(t);
            if (status != TC_CHUNK)
                return status;
            t->column++;
        }
        status = columns(t);
        if (status != TC_CHUNK)
            return status;
        t->phase = PH_TOKEN;
        if (t->fault.code) {
            t->out_len = t->row_start;
            t->mark_count = t->row_mark;
            return t->stopped = TC_DATA;
        }
        t->rows++;
        if (t->rows >= max_rows || t->out_len >= max_bytes)
            return TC_CHUNK;
    }
    return TC_INPUT;
}

#endif
