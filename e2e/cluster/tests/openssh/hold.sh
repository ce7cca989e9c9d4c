#!/bin/sh
# Stands before the program of its name. Where it is to be held, it says that it is there, and waits until it may go on.
name=$(basename "$0")
if [ -e "/opt/hold/$name" ]; then
  : > "/opt/hold/$name.there"
  while [ -e "/opt/hold/$name" ]; do sleep 0.02; done
fi
exec "/usr/bin/$name" "$@"
