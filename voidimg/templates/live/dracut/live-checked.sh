#!/bin/sh
# A root that came over the network is the one that was built: live.sha256= says what it must be.
# Nothing of it was started yet.
: "${VOID_LIVE:=/usr/lib/void-live}"
: "${VOID_LIVE_FETCHED:=/run/initramfs/livedev}"
(
wanted=$(getarg live.sha256=) || wanted=
[ -n "$wanted" ] || exit 0
case "$wanted" in
    *[!0-9a-f]*) exit 1 ;;
esac
# A medium that is mounted is no file; the word is for what was fetched.
[ -f "$VOID_LIVE_FETCHED" ] || exit 1
found=$(sha256sum < "$VOID_LIVE_FETCHED") || exit 1
[ "${found%% *}" = "$wanted" ]
) || die "the live system is not the one that live.sha256 names: it was damaged, or exchanged on the way"
