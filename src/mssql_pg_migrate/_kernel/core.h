/* The state of a transcoder, shared by the sources of this directory and by nothing else. What works on it is declared
 * by the header named like its source. */
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

/* What a kind of input brings: its columns, its rows, and whether it comes in packets. */
typedef struct {
    const char *(*compile)(column *out, const tc_spec *spec);
    int (*rows)(tc *t, uint64_t max_rows, size_t max_bytes); /* out of [pos, lim), as tc_run does */
    int packets;
} row_format;

struct tc {
    const row_format *format;
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

static inline void put_null_field(tc *t, const column *c)
{
    memset(t->out + t->out_len, 0xFF, 4);
    t->out_len += c->null_size;
}

#endif
