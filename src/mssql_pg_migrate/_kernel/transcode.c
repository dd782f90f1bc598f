#include "transcode.h"

#include <stdlib.h>
#include <string.h>

#include "columns.h"
#include "values.h"

#define PACKET_HEADER 8
#define PACKET_TABULAR 0x04
#define PACKET_LAST 0x01
#define TOKEN_ROW 0xD1
#define TOKEN_NBCROW 0xD2

#define PLP_NULL UINT64_MAX
#define PLP_UNKNOWN (UINT64_MAX - 1)

/* Tails of tokens and values that must stand in one piece are at most 2 + 65535 bytes. */
#define MIN_INPUT ((size_t)1 << 17)
#define FIRST_OUTPUT ((size_t)1 << 16)
/* What PostgreSQL can hold in one field: MaxAllocSize less the header of a varlena. */
#define MAX_FIELD ((size_t)0x3FFFFFFB)

enum phase { PH_TOKEN, PH_ROW, PH_PLP_CHUNK, PH_DATA };

/* A value that arrives in pieces. */
typedef struct {
    uint64_t total;    /* as announced, PLP_UNKNOWN when it was not */
    uint64_t seen;
    uint64_t left;     /* bytes of the current piece still to come */
    size_t length_at;  /* where its COPY length goes */
    uint8_t carry[4];  /* the beginning of a character */
    unsigned carried;
    int dropped;       /* too large: only passed over */
} stream;

struct tc {
    column *columns;
    tc_key *keys;
    int count;
    int fields;
    int key_count;
    tx_options text;

    /* [pos, lim): payload without gaps; [lim, end): raw bytes behind it. */
    uint8_t *in;
    size_t in_cap, pos, lim, end;
    size_t packet_left; /* payload bytes of the current packet behind lim */
    int packet_last;

    int phase;
    int column;
    int nbc;
    uint8_t *nulls;
    size_t nulls_size;
    stream stream;

    uint8_t *out;
    size_t out_len, out_cap, row_start, row_room;
    uint64_t rows;

    tc_fault fault;
    int stopped; /* a status that is final */
};

static int malformed(tc *t, int code, uint64_t detail)
{
    t->fault.code = code;
    t->fault.column = t->phase == PH_TOKEN ? -1 : t->column;
    t->fault.detail = detail;
    return t->stopped = TC_MALFORMED;
}

/* The first fault of a row stands; the row is read to its end, so that its key is known. */
static void poisoned(tc *t, int code, uint64_t detail)
{
    if (t->fault.code == TC_F_NONE) {
        t->fault.code = code;
        t->fault.column = t->column;
        t->fault.detail = detail;
    }
}

static int reserve(tc *t, size_t room)
{
    size_t cap;
    uint8_t *grown;
    if (t->out_cap - t->out_len >= room)
        return 1;
    cap = t->out_cap + t->out_cap / 2;
    if (cap < FIRST_OUTPUT)
        cap = FIRST_OUTPUT;
    if (cap < t->out_len + room)
        cap = t->out_len + room;
    grown = realloc(t->out, cap);
    if (!grown)
        return 0;
    t->out = grown;
    t->out_cap = cap;
    return 1;
}

/* --- input: packets --------------------------------------------------------------------------------------------- */

/* Join the payload that has been received behind lim, over packet headers: TC_CHUNK when there was some. */
static int extend(tc *t)
{
    while (t->packet_left == 0) {
        const uint8_t *header = t->in + t->lim;
        size_t length;
        if (t->packet_last)
            return TC_END;
        if (t->end - t->lim < PACKET_HEADER)
            return TC_INPUT;
        length = (size_t)header[2] << 8 | header[3];
        if (header[0] != PACKET_TABULAR)
            return malformed(t, TC_F_PACKET_TYPE, header[0]);
        if (length < PACKET_HEADER)
            return malformed(t, TC_F_PACKET_LENGTH, length);
        t->packet_left = length - PACKET_HEADER;
        t->packet_last = (header[1] & PACKET_LAST) != 0;
        /* What is unread moves over the header and so stands before the packet's payload. */
        memmove(t->in + t->pos + PACKET_HEADER, t->in + t->pos, t->lim - t->pos);
        t->pos += PACKET_HEADER;
        t->lim += PACKET_HEADER;
    }
    if (t->end > t->lim) {
        size_t size = t->end - t->lim;
        if (size > t->packet_left)
            size = t->packet_left;
        t->lim += size;
        t->packet_left -= size;
        return TC_CHUNK;
    }
    return t->end - t->pos >= t->in_cap ? malformed(t, TC_F_TOKEN_SIZE, t->in_cap) : TC_INPUT;
}

uint8_t *tc_input(tc *t, size_t *room)
{
    if (t->pos > 0) {
        memmove(t->in, t->in + t->pos, t->end - t->pos);
        t->end -= t->pos;
        t->lim -= t->pos;
        t->pos = 0;
    }
    *room = t->in_cap - t->end;
    return t->in + t->end;
}

int tc_push(tc *t, size_t size)
{
    if (size > t->in_cap - t->end)
        return 0;
    t->end += size;
    return 1;
}

int tc_start(tc *t, const uint8_t *payload, size_t size, int last_packet)
{
    if (size > t->in_cap)
        return 0;
    memcpy(t->in, payload, size);
    t->pos = 0;
    t->lim = t->end = size;
    t->packet_left = 0;
    t->packet_last = last_packet;
    return 1;
}

/* --- values that arrive in pieces ------------------------------------------------------------------------------- */

static int convert_piece(tc *t, const column *c, const uint8_t *src, size_t n, int final)
{
    stream *s = &t->stream;
    tx_options options = {c->page, t->text.strip_nul};
    tx_fault fault = {0, 0};
    uint8_t *o;
    if (s->dropped)
        return 1;
    if (!reserve(t, (c->convert == tx_utf16 ? tx_room_utf16(n + 8) : tx_room(n + 8)) + t->row_room))
        return 0;
    o = t->out + t->out_len;
    if (!c->convert) {
        memcpy(o, src, n);
        o += n;
    } else {
        size_t used;
        while (s->carried && n) {
            s->carry[s->carried++] = *src++;
            n--;
            used = c->convert(s->carry, s->carried, &o, &options, 0, &fault);
            s->carried -= (unsigned)used;
            memmove(s->carry, s->carry + used, s->carried);
        }
        if (final) {
            used = c->convert(s->carry, s->carried, &o, &options, 1, &fault);
            s->carried -= (unsigned)used;
        } else if (n) {
            used = c->convert(src, n, &o, &options, 0, &fault);
            s->carried = (unsigned)(n - used);
            memcpy(s->carry, src + used, s->carried);
        }
    }
    t->out_len = (size_t)(o - t->out);
    if (fault.code)
        poisoned(t, fault.code, fault.detail);
    if (t->out_len - s->length_at - 4 > MAX_FIELD) {
        poisoned(t, TC_F_TOO_LARGE, s->total == PLP_UNKNOWN ? s->seen : s->total);
        s->dropped = 1;
        t->out_len = s->length_at + 4;
    }
    return 1;
}

static void begin_stream(tc *t, uint64_t total, int phase)
{
    stream *s = &t->stream;
    memset(s, 0, sizeof *s);
    s->total = total;
    s->length_at = t->out_len;
    t->out_len += 4;
    t->phase = phase;
}

static int end_stream(tc *t, const column *c)
{
    stream *s = &t->stream;
    if (s->carried) {
        if (!convert_piece(t, c, NULL, 0, 1))
            return t->stopped = TC_MEMORY;
        if (s->carried)
            return malformed(t, TC_F_ODD_TEXT, s->seen);
    }
    put32(t->out + s->length_at, (uint32_t)(t->out_len - s->length_at - 4));
    t->phase = PH_ROW;
    return TC_CHUNK;
}

/* The header of a PLP or LOB value. TC_CHUNK when it was there; the phase then says whether data follow. */
static int open_stream(tc *t, const column *c)
{
    const uint8_t *p = t->in + t->pos;
    size_t have = t->lim - t->pos;
    if (!reserve(t, 4 + t->row_room))
        return t->stopped = TC_MEMORY;
    if (c->framing == FR_PLP) {
        uint64_t total;
        if (have < 8)
            return TC_INPUT;
        total = le64(p);
        t->pos += 8;
        if (total == PLP_NULL)
            t->out_len = (size_t)(put_null(t->out + t->out_len) - t->out);
        else
            begin_stream(t, total, PH_PLP_CHUNK);
        return TC_CHUNK;
    }
    if (have < 1)
        return TC_INPUT;
    if (p[0] == 0) {
        t->pos += 1;
        t->out_len = (size_t)(put_null(t->out + t->out_len) - t->out);
        return TC_CHUNK;
    }
    if (have < (size_t)1 + p[0] + 8 + 4)
        return TC_INPUT;
    p += 1 + p[0] + 8;
    if (le32(p) > INT32_MAX)
        return malformed(t, TC_F_LENGTH, le32(p));
    t->pos = (size_t)(p + 4 - t->in);
    begin_stream(t, le32(p), PH_DATA);
    t->stream.left = t->stream.seen = t->stream.total;
    return TC_CHUNK;
}

/* Go on with the value of column t->column. TC_CHUNK when it is complete. */
static int run_stream(tc *t)
{
    const column *c = &t->columns[t->column];
    stream *s = &t->stream;
    for (;;) {
        size_t have = t->lim - t->pos;
        if (t->phase == PH_PLP_CHUNK) {
            if (have < 4)
                return TC_INPUT;
            s->left = le32(t->in + t->pos);
            t->pos += 4;
            if (s->left == 0)
                return s->total != PLP_UNKNOWN && s->seen != s->total ? malformed(t, TC_F_PLP_TOTAL, s->seen)
                                                                      : end_stream(t, c);
            s->seen += s->left;
            if (s->total != PLP_UNKNOWN && s->seen > s->total)
                return malformed(t, TC_F_PLP_TOTAL, s->seen);
            t->phase = PH_DATA;
            continue;
        }
        if (have > s->left)
            have = (size_t)s->left;
        if (have) {
            if (!convert_piece(t, c, t->in + t->pos, have, 0))
                return t->stopped = TC_MEMORY;
            t->pos += have;
            s->left -= have;
        }
        if (s->left)
            return TC_INPUT;
        if (c->framing == FR_LOB)
            return end_stream(t, c);
        t->phase = PH_PLP_CHUNK;
    }
}

/* --- rows --------------------------------------------------------------------------------------------------------- */

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
        put_null(t->out + t->out_len);
        t->out_len += c->null_size;
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
    status = open_stream(t, c);
    if (status == TC_CHUNK && t->phase != PH_ROW)
        status = run_stream(t);
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
            status = run_stream(t);
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
        status = extend(t);
        if (status == TC_END && (t->phase != PH_TOKEN || t->pos != t->lim))
            return malformed(t, TC_F_TRUNCATED, t->lim - t->pos);
        if (status != TC_CHUNK)
            return status;
    }
    return t->stopped;
}

/* --- tokens, discarding ------------------------------------------------------------------------------------------- */

const uint8_t *tc_token(const tc *t, size_t *size)
{
    *size = t->lim - t->pos;
    return t->in + t->pos;
}

int tc_extend(tc *t) { return t->stopped ? t->stopped : extend(t); }

int tc_skip(tc *t, size_t size)
{
    if (t->phase != PH_TOKEN || size > t->lim - t->pos)
        return 0;
    t->pos += size;
    return 1;
}

int tc_discard(tc *t, size_t keep)
{
    if (t->stopped)
        return t->stopped;
    t->phase = PH_TOKEN;
    t->out_len = t->row_start = 0;
    t->rows = 0;
    t->fault.code = TC_F_NONE;
    for (;;) {
        int status;
        if (t->lim - t->pos > keep)
            t->pos = t->lim - keep;
        status = extend(t);
        if (status != TC_CHUNK)
            return status;
    }
}

void tc_again(tc *t)
{
    t->pos = t->lim;
    t->packet_last = 0;
}

/* --- output, keys, life ------------------------------------------------------------------------------------------- */

uint64_t tc_rows(const tc *t) { return t->rows; }

/* Bytes of whole tuples: those of a row not yet complete do not count. */
size_t tc_bytes(const tc *t) { return t->phase == PH_TOKEN ? t->out_len : t->row_start; }

uint8_t *tc_take(tc *t, size_t *size)
{
    uint8_t *memory = t->out;
    *size = t->out_len;
    if (t->phase != PH_TOKEN || t->rows == 0)
        return NULL;
    t->out = NULL;
    t->out_len = t->out_cap = t->row_start = 0;
    t->rows = 0;
    return memory;
}

int tc_lend(tc *t, uint8_t *memory, size_t capacity)
{
    if (t->out)
        return 0;
    t->out = memory;
    t->out_cap = capacity;
    return 1;
}

const tc_fault *tc_last_fault(const tc *t) { return &t->fault; }
int tc_key_count(const tc *t) { return t->key_count; }
const tc_key *tc_key_at(const tc *t, int position) { return &t->keys[position]; }

static const char *bind_key(tc *t, column *c, const tc_spec *spec)
{
    tc_key *key;
    if (spec->key < 0)
        return NULL;
    if (spec->key >= t->key_count || t->keys[spec->key].data)
        return "its place in the key is taken or beyond the key";
    if (c->framing > FR_SHORT)
        return "a (max), text, image or xml column cannot be part of a key";
    key = &t->keys[spec->key];
    key->capacity = c->framing == FR_SHORT ? 65535 : 255;
    key->data = malloc(key->capacity);
    c->key = key;
    return key->data ? NULL : "no memory";
}

static const char *set_up(tc *t, const tc_spec *specs, size_t input_size, int *at)
{
    size_t count = (size_t)t->count;
    for (int i = 0; i < t->count; i++)
        t->key_count += specs[i].key >= 0;
    t->in_cap = input_size < MIN_INPUT ? MIN_INPUT : input_size;
    t->nulls_size = (count + 7) / 8;
    t->row_room = 2 + count * TC_MAX_SMALL + 4;
    t->columns = calloc(count, sizeof *t->columns);
    t->keys = calloc((size_t)t->key_count + 1, sizeof *t->keys);
    t->nulls = calloc(t->nulls_size, 1);
    t->in = malloc(t->in_cap);
    if (!t->columns || !t->keys || !t->nulls || !t->in)
        return "no memory";
    for (int i = 0; i < t->count; i++) {
        const char *why = column_compile(&t->columns[i], &specs[i]);
        if (!why)
            why = bind_key(t, &t->columns[i], &specs[i]);
        if (why) {
            *at = i;
            return why;
        }
        t->fields += t->columns[i].conversion != CV_NONE;
    }
    return NULL;
}

tc *tc_new(const tc_spec *specs, int count, int strip_nul, size_t input_size, const char **why, int *at)
{
    tc *t;
    *at = -1;
    *why = "a result has 1 to 4096 columns";
    if (count < 1 || count > 4096)
        return NULL;
    t = calloc(1, sizeof *t);
    *why = "no memory";
    if (!t)
        return NULL;
    t->count = count;
    t->text.strip_nul = strip_nul;
    *why = set_up(t, specs, input_size, at);
    if (*why) {
        tc_free(t);
        return NULL;
    }
    return t;
}

void tc_free(tc *t)
{
    if (!t)
        return;
    for (int i = 0; t->keys && i < t->key_count; i++)
        free(t->keys[i].data);
    free(t->columns);
    free(t->keys);
    free(t->nulls);
    free(t->in);
    free(t->out);
    free(t);
}
