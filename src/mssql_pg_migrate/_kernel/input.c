/* The input buffer: packets joined in place, tokens for the caller, messages thrown away. */
#include "input.h"

#include <string.h>

#define PACKET_HEADER 8
#define PACKET_TABULAR 0x04
#define PACKET_LAST 0x01

int input_extend(tc *t)
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
    if (!t->format->packets && !t->packet_last)
        t->packet_left = SIZE_MAX; /* one packet without an end */
    return 1;
}

void tc_finish(tc *t)
{
    t->packet_last = 1;
    t->packet_left = t->end - t->lim;
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

const uint8_t *tc_token(const tc *t, size_t *size)
{
    *size = t->lim - t->pos;
    return t->in + t->pos;
}

int tc_extend(tc *t) { return t->stopped ? t->stopped : input_extend(t); }

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
        status = input_extend(t);
        if (status != TC_CHUNK)
            return status;
    }
}

void tc_again(tc *t)
{
    t->pos = t->lim;
    t->packet_last = 0;
}
