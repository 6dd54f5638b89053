#!/bin/sh
# Makes the Python environment of the comparison scripts and prints its interpreter's path.
#
#   bench/venv.sh            PyTorch, NumPy, safetensors
#   bench/venv.sh --peers    the same, and the explanation tools Captum, SHAP and LIME
#   bench/venv.sh --families the same as the first, and what writes other programs' models: transformers, gguf
#   bench/venv.sh --gguf     only what reads and writes GGUF files
#   bench/venv.sh --text     only what tells tokens and chats apart: tokenizers, SentencePiece, transformers without PyTorch
#
# The environment lives in ~/.cache/lmkit/bench-venv, or in LMKIT_BENCH_VENV. A stamp file per step
# makes a second call immediate; delete the folder to start again.
#
# The default index's PyTorch for Linux is linked against the CUDA libraries and does not import without
# them: about 2.5 GB are fetched once, 5 GB on disk. Where an index with CPU builds can be reached, name it in
# PIP_EXTRA_INDEX_URL, which pip reads itself: the same version comes without them.
set -eu

core="torch==2.13.0 numpy==2.4.6 safetensors==0.8.0"
peers="captum==0.9.0 shap==0.51.0 lime==0.2.0.1 transformers==5.24.0"
gguf="gguf==0.19.0 numpy==2.4.6"
families="transformers==5.24.0 gguf==0.19.0 accelerate==1.15.0"
text="tokenizers==0.23.3 sentencepiece==0.2.3 transformers==5.24.0 jinja2==3.1.6 sacrebleu==2.6.0"

case "${1:-}" in
"" | --peers | --families | --gguf | --text) ;;
*) echo "usage: bench/venv.sh [--peers | --families | --gguf | --text]" >&2; exit 2 ;;
esac

venv=${LMKIT_BENCH_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/lmkit/bench-venv}
python=$venv/bin/python

# install STEP PACKAGES...: the stamp holds the pins, so that a changed pin installs again.
install() {
	stamp=$venv/.lmkit-$1
	shift
	[ "$(cat "$stamp" 2>/dev/null)" = "$*" ] && return
	echo "installing $* into $venv" >&2
	"$python" -m pip --version >/dev/null 2>&1 || "${PYTHON:-python3}" -m venv "$venv"
	"$python" -m pip install --quiet --disable-pip-version-check "$@" >&2
	echo "$*" >"$stamp"
}

[ -x "$python" ] || rm -f "$venv"/.lmkit-*
case "${1:-}" in # these do without PyTorch
--gguf) install gguf $gguf; echo "$python"; exit ;;
--text) install text $text; echo "$python"; exit ;;
esac
install core $core
"$python" -c 'import torch'
# The pins of the first step are named again: a later step must not move them.
case "${1:-}" in
--peers) install peers $core $peers ;;
--families) install families $core $families ;;
esac
echo "$python"
