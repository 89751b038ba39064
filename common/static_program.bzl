"""How the two programs are linked."""

# Statically: most of the time that a small program takes to start is the dynamic linker's. Not under a sanitizer, whose
# runtime is not made for it.
STATIC_PROGRAM_LINKOPTS = select({
    "//common:sanitizer": [],
    "//conditions:default": ["-static"],
})
