# shellcheck shell=bash
# What docker/test and docker/measure share: an engine, and an end that leaves nothing running. A script sources it with
# the image in $image, and gets
#   engine               docker, podman or buildah
#   build FOLDER         builds the image from a context
#   run COMMAND...       in a new container, with the work volume and without a network
#   size                 the image's bytes, as the command in $sizing shows them
#   temp                 a folder that is removed at the end
#
# docker or podman where one of them runs; else, as root, buildah and debootstrap (Debian: apt-get install
# --no-install-recommends buildah debootstrap crun uidmap iproute2). In the environment:
#   BASE_IMAGE, PIP_INDEX_URL, PIP_DEFAULT_TIMEOUT, GOPROXY, GOSUMDB   go to the build where they are set
#   LMKIT_MIRROR     the Debian mirror for debootstrap
#   LMKIT_STORAGE    where buildah keeps its images (default: a folder that is removed at the end)
temp=$(mktemp -d)
chmod 755 "$temp"
storage=${LMKIT_STORAGE:-$temp/storage}
container=lmkit-$$
child=""

# The build's arguments: what is set in the environment, and nothing else, so that no host of this machine is in the image.
arguments() {
	local name
	for name in BASE_IMAGE PIP_INDEX_URL PIP_DEFAULT_TIMEOUT GOPROXY GOSUMDB; do
		if [[ -n ${!name:-} ]]; then
			printf -- '--build-arg=%s=%s\n' "$name" "${!name}"
		fi
	done
}

# Waits for a command so that this script hears a signal at once: bash hears none while a command runs in front.
waitfor() {
	local code=0
	env --default-signal=INT "$@" <&0 &
	child=$!
	wait "$child" || code=$?
	child=""
	return "$code"
}

# An engine is the functions build, run, size, and clean, which the end calls.
use_engine() {
	build() {
		local args
		mapfile -t args < <(arguments)
		waitfor "$engine" build --target cpu "${args[@]}" -t "$image" -f "$1/docker/Dockerfile" "$1"
	}
	run() {
		waitfor "$engine" run --rm -i --init --name "$container" --network none --cap-drop ALL --security-opt no-new-privileges \
			-v "$container:/home/student/work" "$image" "$@"
	}
	sizing="$engine image inspect --format '{{.Size}}' $image"
	size() { "$engine" image inspect --format '{{.Size}}' "$image" | numfmt --to=si --format=%.2f --suffix=B; }
	clean() {
		"$engine" rm -f "$container" >/dev/null 2>&1 || true
		"$engine" volume rm -f "$container" >/dev/null
	}
	"$engine" volume create "$container" >/dev/null
}

# Without an engine's daemon nobody ends what is left of a container. So each command has process numbers and mounts of its
# own: when it ends, or this script does, even by a kill, the kernel ends all that it started, and its mounts are gone.
alone() { waitfor setpriv --pdeathsig KILL unshare --pid --fork --kill-child --mount-proc "$@"; }

use_buildah() {
	if [[ $EUID -ne 0 ]] || ! command -v buildah >/dev/null || ! command -v ip >/dev/null; then
		echo "there is no docker and no podman here, and buildah needs root, debootstrap and ip: see the head of docker/engine.sh" >&2
		exit 1
	fi
	buildah=(buildah --storage-driver vfs --root "$storage" --runroot "$storage.run")
	build() {
		local args
		if [[ -z ${BASE_IMAGE:-} ]]; then
			BASE_IMAGE=localhost/debian:trixie
			"${buildah[@]}" inspect --type image "$BASE_IMAGE" >/dev/null 2>&1 || base
		fi
		mapfile -t args < <(arguments)
		"${buildah[@]}" containers -q >"$temp/containers"
		alone "${buildah[@]}" bud --format docker --isolation chroot --layers=false --target cpu "${args[@]}" \
			-t "$image" -f "$1/docker/Dockerfile" "$1"
	}
	# As small as Docker's slim images.
	base() {
		alone debootstrap --variant=minbase trixie "$temp/base" ${LMKIT_MIRROR:+"$LMKIT_MIRROR"} >"$temp/debootstrap.log"
		rm -rf "$temp"/base/var/{cache/apt,lib/apt/lists}/* "$temp"/base/usr/share/{doc,man,locale,info}/*
		tar -C "$temp/base" -cf "$temp/base.tar" .
		"${buildah[@]}" from --name "$container" scratch >/dev/null
		"${buildah[@]}" add -q "$container" "$temp/base.tar" / >/dev/null
		"${buildah[@]}" commit -q --rm "$container" "$BASE_IMAGE" >/dev/null
		rm -rf "$temp/base" "$temp/base.tar"
	}
	run() {
		local code=0
		"${buildah[@]}" from -q --pull-never --name "$container" "$image" >/dev/null
		alone --net bash -c 'ip link set lo up && "$@"; exit $?' run \
			"${buildah[@]}" run --isolation chroot -v "$temp/work:/home/student/work" "$container" -- "$@" || code=$?
		"${buildah[@]}" rm "$container" >/dev/null
		return "$code"
	}
	sizing="buildah images $image"
	size() { "${buildah[@]}" images --format '{{.Size}}' "$image"; }
	# A build that was cut short leaves containers under names of its own.
	clean() {
		local left
		left=$("${buildah[@]}" containers -q --filter "name=$container")
		if [[ -f $temp/containers ]]; then
			left+=$'\n'$("${buildah[@]}" containers -q | grep -vxFf "$temp/containers")
		fi
		xargs -r "${buildah[@]}" rm <<<"$left" >/dev/null
	}
	install -d -o 1000 -g 1000 "$temp/work"
}

end() {
	trap - EXIT INT TERM HUP
	if [[ -n $child ]]; then
		kill -KILL "$child" 2>/dev/null
		wait "$child" 2>/dev/null
	fi
	clean
	rm -rf "$temp"
}
clean() { :; }
trap 'code=$?; set +e; end; exit "$code"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

engine=""
for candidate in docker podman; do
	if [[ -z $engine ]] && command -v "$candidate" >/dev/null && "$candidate" info >/dev/null 2>&1; then
		engine=$candidate
	fi
done
if [[ -n $engine ]]; then
	use_engine
else
	engine=buildah
	use_buildah
fi
