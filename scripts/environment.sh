# Makes the project's virtual environment and installs the distribution with the extras asked for.
# Sourced by grid-demo and grid-test, which set `root`. Nothing is installed outside $root/.venv
# (GRID_VENV names another place).

python_of_machine() {
    local candidate
    for candidate in "${GRID_PYTHON:-}" python3.11 python3.12 python3.13 python3; do
        [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1 || continue
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return 0
        fi
    done
    echo "Grid needs Python 3.11 or newer; set GRID_PYTHON to its path." >&2
    return 1
}

# environment EXTRA[,EXTRA]: afterwards $python is the interpreter of the environment.
environment() {
    local extras=$1 base stamp wanted
    venv=${GRID_VENV:-$root/.venv}
    python=$venv/bin/python
    export PIP_DISABLE_PIP_VERSION_CHECK=1
    if [ ! -x "$python" ] || ! "$python" -m pip --version >/dev/null 2>&1; then
        base=$(python_of_machine) || return 1
        echo "Making a virtual environment in ${venv#"$PWD"/} …" >&2
        if ! "$base" -m venv --clear "$venv" >/dev/null; then
            echo "Python cannot make virtual environments here. On Debian or Ubuntu: apt install python3-venv" >&2
            return 1
        fi
    fi
    wanted=$(cat "$root/setup.cfg" "$root/pyproject.toml" | cksum | tr ' ' -)
    for extra in ${extras//,/ }; do
        stamp=$venv/.grid-$extra-$wanted
        if [ ! -e "$stamp" ]; then
            echo "Installing Grid with its $extra extra (the first time takes a minute or two) …" >&2
            PYTHON=$python "$root/scripts/install-torch" -qq || return 1
            "$python" -m pip install -qq --editable "$root[$extra]" || return 1
            touch "$stamp"
        fi
    done
}
