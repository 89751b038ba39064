"""System libraries as Bazel repositories, under the labels their upstreams use.

Each target is a cc_library without sources whose options come from pkg-config. Libraries are linked statically where
the distribution ships an archive: a launcher that loads fifty shared objects spends longer in ld.so than in its work.
"""

def _run(ctx, arguments, environment = {}):
    result = ctx.execute(arguments, environment = environment)
    if result.return_code != 0:
        fail("%s failed: %s\nInstall the build dependencies with tests/setup.sh." % (" ".join(arguments), result.stderr))
    return result.stdout.strip()

def _prefer_archive(ctx, flag, directories):
    """Turns -lNAME into -l:libNAME.a when one of the directories holds that archive."""
    if not flag.startswith("-l") or flag.startswith("-l:"):
        return flag
    name = flag[2:]
    if name in ctx.attr.shared:
        return flag
    for directory in directories:
        if ctx.path(directory + "/lib" + name + ".a").exists:
            return "-l:lib" + name + ".a"
    return flag

# glibc's own libraries stay shared: everything else in the process uses them too.
_LIBC = ["-ldl", "-lm", "-lpthread", "-lrt", "-lc"]

def _system_library_impl(ctx):
    prefix = ctx.os.environ.get(ctx.attr.prefix_variable, "") if ctx.attr.prefix_variable else ""
    environment = {}
    directories = []
    if prefix:
        libdir = prefix + "/lib"
        environment["PKG_CONFIG_PATH"] = libdir + "/pkgconfig"
        directories.append(libdir)
    directories.append("/usr/lib/" + _run(ctx, ["gcc", "-print-multiarch"]))

    packages = {}
    for target, modules in ctx.attr.targets.items():
        package, _, name = target.rpartition(":")
        link = _run(ctx, ["pkg-config", "--libs"] + modules, environment).split(" ")
        link = [f if f in _LIBC else _prefer_archive(ctx, f, directories) for f in link if f]
        compile = [f for f in _run(ctx, ["pkg-config", "--cflags"] + modules, environment).split(" ") if f]
        defines = []
        includes = []
        for flag in compile:  # an -I of the system's own include directory is not needed
            if flag.startswith("-D"):
                defines.append(flag[2:])
            elif prefix and flag.startswith("-I" + prefix):
                # Outside the system's include directories Bazel wants headers that it was told about. The prefix's own
                # include directory, so that <fuse3/fuse.h> names the same header with and without a prefix.
                ctx.symlink(prefix + "/include", "headers")
                includes.append("headers")
            elif flag.startswith("-I"):
                # Directories of the system's for one library alone; Bazel wants to be told about them, too.
                directory = "headers/%s/%d" % (name, len(includes))
                ctx.symlink(flag[2:], directory)
                includes.append(directory)
        packages.setdefault(package, []).append(
            """cc_library(
    name = "{name}",
    hdrs = glob(["headers/**/*.h"]),
    defines = {defines},
    includes = {includes},
    linkopts = {linkopts},
    visibility = ["//visibility:public"],
)
""".format(
                name = name,
                defines = defines,
                includes = includes,
                linkopts = link + ctx.attr.extra_linkopts,
            ),
        )
    for package, rules in packages.items():
        ctx.file(package + ("/" if package else "") + "BUILD.bazel", "\n".join(rules))

_system_library = repository_rule(
    implementation = _system_library_impl,
    attrs = {
        "targets": attr.string_list_dict(mandatory = True, doc = "PACKAGE:NAME to pkg-config modules"),
        "shared": attr.string_list(doc = "libraries never to be taken as an archive"),
        "extra_linkopts": attr.string_list(),
        "prefix_variable": attr.string(doc = "environment variable that names a private prefix"),
    },
    environ = ["ACETATE_LIBFUSE_PREFIX"],
    local = True,
)

_ABSL = [
    "absl/base:core_headers",
    "absl/cleanup:cleanup",
    "absl/container:fixed_array",
    "absl/container:flat_hash_map",
    "absl/container:flat_hash_set",
    "absl/functional:function_ref",
    "absl/container:inlined_vector",
    "absl/status:status",
    "absl/status:statusor",
    "absl/strings:str_format",
    "absl/strings:strings",
    "absl/time:time",
    "absl/types:optional",
    "absl/types:span",
]

def system_libraries():
    """Declares every library of the system that the project uses."""
    _system_library(
        name = "com_google_absl",
        targets = {t: ["absl_" + t.split(":")[1]] for t in _ABSL},
    )
    _system_library(
        name = "com_github_gflags_gflags",
        targets = {":gflags": ["gflags"]},
    )
    _system_library(
        name = "com_github_google_glog",
        targets = {":glog": ["libglog"]},
        extra_linkopts = ["-lunwind"],
    )
    _system_library(
        name = "com_google_googletest",
        targets = {
            ":gtest": ["gmock"],
            ":gtest_main": ["gmock_main"],
        },
    )
    _system_library(
        name = "com_google_benchmark",
        targets = {":benchmark": ["benchmark"]},
    )
    _system_library(
        name = "libfuse",
        targets = {":libfuse": ["fuse3"]},
        prefix_variable = "ACETATE_LIBFUSE_PREFIX",
    )
    _system_library(
        name = "libcap",
        targets = {":libcap": ["libcap"]},
    )
    _system_library(
        name = "libseccomp",
        targets = {":libseccomp": ["libseccomp"]},
    )
    _system_library(
        name = "libdbus",
        targets = {":libdbus": ["dbus-1"]},
    )
    _system_library(
        name = "nlohmann_json",
        targets = {":json": ["nlohmann_json"]},
    )
    _system_library(
        name = "openssl",
        targets = {":crypto": ["libcrypto"]},
    )
