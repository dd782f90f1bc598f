/* Rows of a BCP data file: how their columns are framed.
 *
 * The layout is that of the data files of a .bacpac: "Specify Prefix Length in Data Files by Using bcp" for the lengths
 * before values, [MS-BCP] for the values themselves. Files that SQL Server 2016 to 2022 and Azure SQL wrote differ from
 * the first page in char NOT NULL (no length), bit NOT NULL (a length) and in that all text is UTF-16: they are followed.
 * Of binary NOT NULL only the page tells; its values must have their full length, so a file of another kind is refused.
 */
#include <stdlib.h>
#include <string.h>

#include "fields.h"
#include "formats.h"
#include "stream.h"

#define BYTE_NULL 0xFF
#define MAX_DECLARED 0xFFFF
#define DECIMAL_SIZE 19 /* precision, scale, sign (1: plus), 16 bytes of magnitude */

/* Type numbers of [MS-TDS] 2.2.5.4 that are framed in another way than there. */
enum {
    T_IMAGE = 0x22,
    T_TEXT = 0x23,
    T_GUID = 0x24,
    T_BIT = 0x32,
    T_NTEXT = 0x63,
    T_DECIMALN = 0x6A,
    T_NUMERICN = 0x6C,
    T_BIGVARBIN = 0xA5,
    T_BIGVARCHR = 0xA7,
    T_BIGBINARY = 0xAD,
    T_BIGCHAR = 0xAF,
    T_NVARCHAR = 0xE7,
    T_NCHAR = 0xEF,
    T_UDT = 0xF0,
    T_XML = 0xF1
};

static const char wrong_encoding[] = "its type does not become the wanted PostgreSQL type without a conversion";

/* How values of varying size are framed; FR_FIXED for the types that have none. */
static int sized_framing(const tc_spec *s)
{
    switch (s->type_id) {
    case T_BIGCHAR:
        return s->nullable ? FR_SHORT : FR_CHARS;
    case T_NCHAR:
    case T_BIGBINARY:
        return FR_SHORT;
    case T_BIGVARCHR:
    case T_NVARCHAR:
    case T_BIGVARBIN:
        return s->length == MAX_DECLARED ? FR_LONG8 : FR_SHORT;
    case T_TEXT:
    case T_NTEXT:
    case T_IMAGE:
        return FR_LONG4;
    case T_XML:
    case T_UDT:
        return FR_LONG8;
    default:
        return FR_FIXED;
    }
}

static const char *compile_sized(column *c, const tc_spec *s, int framing)
{
    int binary = s->type_id == T_IMAGE || s->type_id == T_BIGVARBIN || s->type_id == T_BIGBINARY || s->type_id == T_UDT;
    c->framing = (uint8_t)framing;
    c->null_size = s->encoding == TC_NONE ? 0 : 4;
    if (s->encoding == TC_NONE)
        c->conversion = CV_NONE;
    else if (s->encoding == TC_MARKED)
        c->conversion = CV_MARKED;
    else if (s->encoding == (binary ? TC_BYTEA : TC_TEXT))
        c->conversion = binary ? CV_BYTES : CV_TEXT;
    else
        return wrong_encoding;
    c->convert = c->conversion == CV_TEXT ? tx_utf16 : NULL;
    c->exact = s->type_id == T_BIGBINARY && !s->nullable;
    c->length = s->length;
    if ((framing == FR_SHORT || framing == FR_CHARS) && (s->length < 1 || s->length > 16000))
        return "its declared length does not exist for its type";
    return NULL;
}

static const char *compile_column(column *c, const tc_spec *s)
{
    int framing = sized_framing(s);
    const char *why;
    memset(c, 0, sizeof *c);
    if (framing != FR_FIXED) {
        why = compile_sized(c, s, framing);
    } else if (s->encoding == TC_MARKED) {
        why = wrong_encoding;
    } else {
        int decimal = s->type_id == T_DECIMALN || s->type_id == T_NUMERICN;
        why = column_compile(c, s);
        c->framing = s->nullable || decimal || s->type_id == T_BIT || s->type_id == T_GUID ? FR_BYTE : FR_FIXED;
        if (decimal)
            c->size = DECIMAL_SIZE;
    }
    c->nullable = s->nullable;
    return why;
}

/* A value of a type that has fixed size. NULL when it is out of its type's range. */
static inline uint8_t *put_value(uint8_t *o, const column *c, const uint8_t *v)
{
    if (c->conversion == CV_DECIMAL) {
        /* More decimals than declared PostgreSQL would round away. */
        if (v[0] < 1 || v[0] > 38 || v[1] > c->scale || v[2] > 1)
            return NULL;
        return put_decimal(o, v + 2, DECIMAL_SIZE - 2, v[1]);
    }
    if (c->conversion == CV_BOOL && v[0] > 1)
        return NULL;
    return put_small(o, c, v, c->size);
}

static int mark(tc *t)
{
    if (t->mark_count == t->mark_cap) {
        size_t cap = t->mark_cap ? t->mark_cap * 2 : 1024;
        uint64_t *grown = realloc(t->marks, cap * sizeof *grown);
        if (!grown)
            return 0;
        t->marks = grown;
        t->mark_cap = cap;
    }
    t->marks[t->mark_count++] = (uint64_t)t->out_len << 16 | (unsigned)t->column;
    return 1;
}

/* The length before a (max), text, xml ... value, and as much of the value as has arrived. */
static int long_value(tc *t, const column *c)
{
    unsigned prefix = c->framing == FR_LONG4 ? 4 : 8;
    const uint8_t *p = t->in + t->pos;
    uint64_t size;
    if (t->lim - t->pos < prefix)
        return TC_INPUT;
    if (!reserve(t, 4 + t->row_room))
        return t->stopped = TC_MEMORY;
    size = prefix == 4 ? (uint64_t)(int64_t)(int32_t)le32(p) : le64(p);
    if (size == UINT64_MAX) {
        if (!c->nullable)
            return malformed(t, TC_F_NULL, 0);
        t->pos += prefix;
        put_null_field(t, c);
        return TC_CHUNK;
    }
    if (size > INT32_MAX)
        return malformed(t, TC_F_LENGTH, size);
    if (c->conversion == CV_MARKED && !mark(t))
        return t->stopped = TC_MEMORY;
    t->pos += prefix;
    stream_begin(t, c, size);
    return stream_run(t);
}

static int sized_value(tc *t, const column *c)
{
    size_t have = t->lim - t->pos;
    if (c->framing == FR_CHARS)
        return have < c->length ? TC_INPUT : value_piece(t, c, 0, c->length);
    if (c->framing != FR_SHORT)
        return long_value(t, c);
    if (have >= 2) {
        unsigned size = le16(t->in + t->pos);
        if (size == 0xFFFF && !c->nullable)
            return malformed(t, TC_F_NULL, 0);
        if (size != 0xFFFF && c->exact && size != c->length)
            return malformed(t, TC_F_LENGTH, size);
    }
    return value_short(t, c, c->length);
}

/* The columns from t->column on, for which there is room in the output. TC_CHUNK when the row is complete. */
static int run_columns(tc *t)
{
    const uint8_t *p = t->in + t->pos;
    const uint8_t *lim = t->in + t->lim;
    uint8_t *o = t->out + t->out_len;
    int i, fault = TC_F_NONE, status = TC_INPUT;
    unsigned size = 0;
    for (i = t->column; i < t->count; i++) {
        const column *c = &t->columns[i];
        if (c->framing <= FR_BYTE) {
            unsigned prefix = c->framing;
            uint8_t *next;
            size = c->size;
            if (prefix) {
                if (p == lim)
                    goto stop;
                if (*p == BYTE_NULL) {
                    fault = c->nullable ? TC_F_NONE : TC_F_NULL;
                    if (fault)
                        goto stop;
                    p++;
                    put_null(o);
                    o += c->null_size;
                    continue;
                }
                if (*p != size) {
                    size = *p;
                    fault = TC_F_LENGTH;
                    goto stop;
                }
            }
            if ((size_t)(lim - p) < prefix + size)
                goto stop;
            next = put_value(o, c, p + prefix);
            if (!next) {
                fault = TC_F_VALUE;
                goto stop;
            }
            o = next;
            p += prefix + size;
            continue;
        }
        t->column = i;
        t->pos = (size_t)(p - t->in);
        t->out_len = (size_t)(o - t->out);
        status = sized_value(t, c);
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
    return fault ? malformed(t, fault, size) : status;
}

static int begin_row(tc *t)
{
    if (!reserve(t, t->row_room))
        return t->stopped = TC_MEMORY;
    t->row_start = t->out_len;
    t->row_mark = t->mark_count;
    t->out_len = (size_t)(put16(t->out + t->out_len, (uint32_t)t->fields) - t->out);
    t->column = 0;
    t->phase = PH_ROW;
    return TC_CHUNK;
}

static int rows(tc *t, uint64_t max_rows, size_t max_bytes)
{
    return run_rows(t, max_rows, max_bytes, begin_row, run_columns);
}

const row_format bcp_format = {compile_column, rows, 0};
