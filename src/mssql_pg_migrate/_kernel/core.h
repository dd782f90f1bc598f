/* The state of a transcoder, shared by the sources of this directory and by nothing else. */
#ifndef MSSQL_PG_MIGRATE_CORE_H
#define MSSQL_PG_MIGRATE_CORE_H

#include <string.h>

#include "columns.h"
#include "transcode.h"

enum phase { PH_TOKEN, PH_ROW, PH_PLP_CHUNK, PH_DATA };

#define PLP_UNKNOWN (UINT64_MAX - 1)

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

    int bcp; /* the input is a BCP data file, not packets */
    int phase;
    int column;
    int nbc;
    uint8_t *nulls;
    size_t nulls_size;
    stream stream;

    uint8_t *out;
    size_t out_len, out_cap, row_start, row_room;
    uint64_t rows;
    uint64_t *marks; /* fields the caller replaces: offset in the output << 16 | column */
    size_t mark_count, mark_cap, row_mark;

    tc_fault fault;
    int stopped; /* a status that is final */
};

/* A fault that ends the stream. Returns its status. */
static inline int malformed(tc *t, int code, uint64_t detail)
{
    t->fault.code = code;
    t->fault.column = t->phase == PH_TOKEN ? -1 : t->column;
    t->fault.detail = detail;
    return t->stopped = TC_MALFORMED;
}

/* The first fault of a row stands; the row is read to its end, so that its key is known. */
static inline void poisoned(tc *t, int code, uint64_t detail)
{
    if (t->fault.code == TC_F_NONE) {
        t->fault.code = code;
        t->fault.column = t->column;
        t->fault.detail = detail;
    }
}

/* Make the output buffer larger by at least `room` free bytes; 0 when there is no memory. */
int output_grow(tc *t, size_t room);

static inline int reserve(tc *t, size_t room) { return t->out_cap - t->out_len >= room || output_grow(t, room); }

static inline void put_null_field(tc *t, const column *c)
{
    memset(t->out + t->out_len, 0xFF, 4);
    t->out_len += c->null_size;
}

/* Join the payload that has been received behind lim, over packet headers: TC_CHUNK when there was some. */
int input_extend(tc *t);

/* A char, varchar, binary ... value with a 2-byte length, 0xFFFF being NULL. TC_CHUNK when it is done. */
int value_short(tc *t, const column *c, size_t longest);
/* The same of `size` bytes, all of which have arrived behind `prefix` bytes. */
int value_piece(tc *t, const column *c, size_t prefix, size_t size);

/* Rows of a BCP data file out of [pos, lim), as tc_run does those of a result. */
int bcp_rows(tc *t, uint64_t max_rows, size_t max_bytes);

/* A value of `total` bytes that follow: they may arrive in pieces. */
void stream_begin(tc *t, const column *c, uint64_t total);
/* The header of a PLP or LOB value. TC_CHUNK when it was there; the phase then says whether data follow. */
int stream_open(tc *t, const column *c);
/* Go on with the value of column t->column. TC_CHUNK when it is complete. */
int stream_run(tc *t);

#endif
