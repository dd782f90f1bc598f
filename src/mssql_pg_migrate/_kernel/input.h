/* What the row loops read: the payload of packets, or of one data file, as it arrives. */
#ifndef MSSQL_PG_MIGRATE_INPUT_H
#define MSSQL_PG_MIGRATE_INPUT_H

#include "core.h"

/* Join the payload that has been received behind lim, over packet headers: TC_CHUNK when there was some. */
int input_extend(tc *t);

#endif
