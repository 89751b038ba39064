// Whether a directory is a layer in the storage of Podman, Buildah and the like (containers/storage). With a mount
// program these engines unpack layers with `.wh.NAME` files as they are, and leave it to the program to know: nothing
// in its command line says so.
#pragma once

namespace acetate::fusefs {

// `root` is an fd of the directory. A layer there is called `diff`, with a file `link` beside it that holds the layer's
// short name. False where that cannot be found out.
bool IsEngineLayer(int root);

}  // namespace acetate::fusefs
