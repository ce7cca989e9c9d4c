#!/bin/sh
# As much of systemd as an end needs: a unit that is stopped runs its ExecStop.
[ "$1" = disable ] || exit 0
stop=$(sed -n 's/^ExecStop=//p' "/etc/systemd/system/$3")
[ -z "$stop" ] || $stop
