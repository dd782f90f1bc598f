#!/bin/sh
# Build the digest with AddressSanitizer and UndefinedBehaviorSanitizer and feed it damaged COPY data.
# FUZZ_SECONDS (default 30) bounds the run, FUZZ_SEED repeats one. With CC=clang, FUZZ_ENGINE=libfuzzer uses libFuzzer.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
kernel="$here/../src/mssql_pg_migrate/_kernel"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
sources="$here/fuzz_digest.c $kernel/digest.c"
flags="-std=c11 -g -O1 -Wall -Wextra -fno-omit-frame-pointer -I$kernel"
seconds=${FUZZ_SECONDS:-30}
export ASAN_OPTIONS=abort_on_error=1:detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1
if [ "${FUZZ_ENGINE:-}" = libfuzzer ]; then
    # shellcheck disable=SC2086
    ${CC:-clang} $flags -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all $sources -o "$out/fuzz"
    exec "$out/fuzz" -max_total_time="$seconds" -max_len=8000 ${FUZZ_SEED:+-seed=$FUZZ_SEED}
fi
# shellcheck disable=SC2086
${CC:-gcc} $flags -DSTANDALONE -fsanitize=address,undefined -fno-sanitize-recover=all $sources -o "$out/fuzz"
"$out/fuzz" "$seconds" ${FUZZ_SEED:+"$FUZZ_SEED"}
