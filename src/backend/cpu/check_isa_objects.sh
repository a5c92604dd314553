#!/bin/sh
# Fails when an object compiled for one instruction set defines a function that the linker may use elsewhere: everything
# but its table of kernels must be local. Arguments: the object files of the library.
status=0
seen=0
for object in "$@"; do
  case "$object" in */isa/*) ;; *) continue ;; esac
  seen=$((seen + 1))
  leaked=$(nm -C --defined-only "$object" | awk '$2 !~ /^[a-z]$/ && $3 !~ /^ernie::cpu::k[A-Za-z0-9]*Kernels$/ || $2 ~ /^[uvw]$/')
  if [ -n "$leaked" ]; then
    echo "$object defines symbols that other objects could link to:"
    echo "$leaked"
    status=1
  fi
done
[ "$seen" -ge 5 ] || { echo "expected 5 objects under isa/, found $seen"; status=1; }
exit $status
