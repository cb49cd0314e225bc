#!/bin/sh
# Eight parts of the photos in this folder, two at once, with GNU parallel (Debian's package `parallel`); then one list of all.
# `--sshlogin HOST,HOST --workdir .` does them on other machines that have the same folder.
shards=${SHARDS:-8}
seq "$shards" | parallel --jobs 2 batch-removebg run photos --out cutouts --shard "{}/$shards" --progress none
batch-removebg merge cutouts
