#include "launcher/each.h"

#include <unistd.h>

#include "launcher/error_line.h"
#include "launcher/files.h"
#include "launcher/program.h"

namespace acetate::launcher {

int ForEach(const std::vector<std::string>& references, const std::string& store_root, bool prints,
            const std::function<absl::Status(Container&)>& act) {
  int exit_status = 0;
  for (const std::string& reference : references) {
    absl::StatusOr<Container> container = FindContainer(store_root, reference);
    absl::Status status = container.ok() ? act(*container) : container.status();
    if (!status.ok()) {
      PrintErrorLine(status.message());
      exit_status = kExitOwnFailure;
    } else if (prints) {
      WriteAll(STDOUT_FILENO, reference + "\n").IgnoreError();
    }
  }
  return exit_status;
}

}  // namespace acetate::launcher
