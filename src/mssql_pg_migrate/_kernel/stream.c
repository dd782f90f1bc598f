/* Values that arrive in pieces: PLP chunks, and the text, ntext and image of old. */
#include "stream.h"

#include <string.h>

#include "output.h"
#include "values.h"

#define PLP_NULL UINT64_MAX
/* What PostgreSQL can hold in one field: MaxAllocSize less the header of a varlena. Smaller in tests. */
#if !defined(MAX_FIELD)
#define MAX_FIELD ((size_t)0x3FFFFFFB)
#endif

/* Convert a piece of the value. With `final`, and no bytes, what is left of a character. 0 when there is no memory. */
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
        s->carried = 0;
        t->out_len = s->length_at + 4;
    }
    return 1;
}

static void open_stream(tc *t, uint64_t total, int phase)
{
    stream *s = &t->stream;
    memset(s, 0, sizeof *s);
    s->total = total;
    s->length_at = t->out_len;
    t->out_len += 4;
    t->phase = phase;
}

void stream_begin(tc *t, const column *c, uint64_t total)
{
    open_stream(t, total, PH_DATA);
    t->stream.left = t->stream.seen = total;
    t->stream.dropped = c->conversion == CV_NONE;
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
    if (c->conversion == CV_NONE)
        t->out_len = s->length_at;
    else
        put32(t->out + s->length_at, (uint32_t)(t->out_len - s->length_at - 4));
    t->phase = PH_ROW;
    return TC_CHUNK;
}

int stream_open(tc *t, const column *c)
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
            put_null_field(t, c);
        else
            open_stream(t, total, PH_PLP_CHUNK);
        return TC_CHUNK;
    }
    if (have < 1)
        return TC_INPUT;
    if (p[0] == 0) {
        t->pos += 1;
        put_null_field(t, c);
        return TC_CHUNK;
    }
    if (have < (size_t)1 + p[0] + 8 + 4)
        return TC_INPUT;
    p += 1 + p[0] + 8;
    if (le32(p) > INT32_MAX)
        return malformed(t, TC_F_LENGTH, le32(p));
    t->pos = (size_t)(p + 4 - t->in);
    stream_begin(t, c, le32(p));
    return TC_CHUNK;
}

int stream_run(tc *t)
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
        if (c->framing != FR_PLP)
            return end_stream(t, c);
        t->phase = PH_PLP_CHUNK;
    }
}
