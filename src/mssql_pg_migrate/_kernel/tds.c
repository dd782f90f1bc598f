/* Rows of TDS: how their columns are framed. */
#include <string.h>

#include "fields.h"
#include "formats.h"
#include "stream.h"

#define TOKEN_ROW 0xD1
#define TOKEN_NBCROW 0xD2

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

static int rows(tc *t, uint64_t max_rows, size_t max_bytes)
{
    return run_rows(t, max_rows, max_bytes, begin_row, run_columns);
}

const row_format tds_format = {column_compile, rows, 1};
