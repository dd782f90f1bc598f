/* Values that arrive in pieces, whatever announced them. */
#ifndef MSSQL_PG_MIGRATE_STREAM_H
#define MSSQL_PG_MIGRATE_STREAM_H

#include "core.h"

/* A value of `total` bytes that follow: they may arrive in pieces. */
void stream_begin(tc *t, const column *c, uint64_t total);
/* The header of a PLP or LOB value. TC_CHUNK when it was there; the phase then says whether data follow. */
int stream_open(tc *t, const column *c);
/* Go on with the value of column t->column. TC_CHUNK when it is complete. */
int stream_run(tc *t);

#endif
