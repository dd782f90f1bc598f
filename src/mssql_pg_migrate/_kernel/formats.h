/* The formats of rows that there are. */
#ifndef MSSQL_PG_MIGRATE_FORMATS_H
#define MSSQL_PG_MIGRATE_FORMATS_H

#include "core.h"

extern const row_format tds_format; /* ROW and NBCROW tokens of TDS, in packets */
extern const row_format bcp_format; /* a BCP data file */

#endif
