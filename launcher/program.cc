#include "launcher/program.h"

#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace acetate::launcher {
namespace {

#if defined(__x86_64__)
constexpr unsigned kMachine = EM_X86_64;
#elif defined(__aarch64__)
constexpr unsigned kMachine = EM_AARCH64;
#else
constexpr unsigned kMachine = EM_NONE;
#endif

// Enough of a file for its ELF program headers and interpreter, or its first line.
constexpr size_t kHeadSize = 4096;

// The path of PT_INTERP, as far as the head holds it.
absl::string_view ElfInterpreter(absl::string_view head) {
  Elf64_Ehdr elf;
  if (head.size() < sizeof(elf)) return {};
  memcpy(&elf, head.data(), sizeof(elf));
  if (elf.e_ident[EI_CLASS] != ELFCLASS64 || elf.e_phentsize != sizeof(Elf64_Phdr)) return {};
  for (unsigned i = 0; i < elf.e_phnum; ++i) {
    Elf64_Phdr segment;
    if (elf.e_phoff > head.size() || head.size() - elf.e_phoff < (i + 1) * sizeof(segment)) return {};
    memcpy(&segment, head.data() + elf.e_phoff + i * sizeof(segment), sizeof(segment));
    if (segment.p_type != PT_INTERP) continue;
    if (segment.p_offset > head.size() || head.size() - segment.p_offset < segment.p_filesz) return {};
    absl::string_view path = head.substr(segment.p_offset, segment.p_filesz);
    return path.substr(0, path.find('\0'));
  }
  return {};
}

bool DiagnoseElf(absl::string_view head, bool interpreter_missing, char* message, size_t size) {
  Elf64_Ehdr elf;
  if (head.size() < sizeof(elf)) return false;
  memcpy(&elf, head.data(), sizeof(elf));
  if (interpreter_missing) {
    absl::string_view interpreter = ElfInterpreter(head);
    if (interpreter.empty()) return false;
    snprintf(message, size, "its interpreter %.*s is missing in the image", static_cast<int>(interpreter.size()),
             interpreter.data());
    return true;
  }
  if (kMachine == EM_NONE || elf.e_machine == kMachine) return false;
  snprintf(message, size, "it was built for another kind of machine (ELF machine %u; this one is %u)", elf.e_machine,
           kMachine);
  return true;
}

bool DiagnoseScript(absl::string_view head, bool interpreter_missing, char* message, size_t size) {
  absl::string_view line = head.substr(0, head.find('\n')).substr(2);
  bool carriage_return = !line.empty() && line.back() == '\r';
  if (carriage_return) line.remove_suffix(1);
  while (!line.empty() && (line[0] == ' ' || line[0] == '\t')) line.remove_prefix(1);
  absl::string_view interpreter = line.substr(0, line.find_first_of(" \t"));
  if (interpreter.empty() || !interpreter_missing) return false;
  if (carriage_return && interpreter.size() == line.size()) {
    snprintf(message, size,
             "its first line ends in a carriage return, so %.*s\\r is looked for; convert it to Unix lines",
             static_cast<int>(interpreter.size()), interpreter.data());
  } else {
    snprintf(message, size, "its interpreter %.*s is missing in the image", static_cast<int>(interpreter.size()),
             interpreter.data());
  }
  return true;
}

size_t ReadHead(const char* path, char* head) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) return 0;
  ssize_t n = read(fd, head, kHeadSize);
  close(fd);
  return n > 0 ? static_cast<size_t>(n) : 0;
}

bool FileExists(const char* path) {
  struct stat st;
  return stat(path, &st) == 0;
}

// After a failed execve of `path`.
int Explain(const char* path, int error, char* message, size_t size) {
  if ((error == ENOENT || error == ENOTDIR) && !FileExists(path)) {
    snprintf(message, size, "%s: command not found", path);
    return kExitNotFound;
  }
  int length = snprintf(message, size, "%s cannot be executed: ", path);
  size_t used = length < 0 || static_cast<size_t>(length) >= size ? size - 1 : static_cast<size_t>(length);
  char head[kHeadSize];
  bool known = false;
  if (error == ENOENT || error == ENOEXEC || error == ELIBBAD || error == EINVAL) {
    size_t n = ReadHead(path, head);
    known = DiagnoseProgram({head, n}, error == ENOENT, message + used, size - used);
  }
  struct stat st;
  if (!known && error == EACCES && stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
    snprintf(message + used, size - used, "it is a directory");
    known = true;
  }
  if (!known) snprintf(message + used, size - used, "%s", strerrordesc_np(error));
  return kExitNotExecutable;
}

}  // namespace

bool DiagnoseProgram(absl::string_view head, bool interpreter_missing, char* message, size_t size) {
  if (head.size() >= 2 && head[0] == '#' && head[1] == '!') {
    return DiagnoseScript(head, interpreter_missing, message, size);
  }
  if (head.size() >= SELFMAG && memcmp(head.data(), ELFMAG, SELFMAG) == 0) {
    return DiagnoseElf(head, interpreter_missing, message, size);
  }
  if (interpreter_missing) return false;
  snprintf(message, size, head.empty() ? "it is empty" : "it is neither a binary nor a script that begins with #!");
  return true;
}

int ExecuteProgram(char* const* argv, char* const* envp, const char* search_path, char* message, size_t size) {
  const char* name = argv[0];
  if (strchr(name, '/') != nullptr) {
    execve(name, argv, envp);
    return Explain(name, errno, message, size);
  }
  // As execvp does: go on past what is absent or forbidden, and remember the latter.
  char forbidden[PATH_MAX] = "";
  const char* next = name[0] != '\0' ? search_path : nullptr;
  while (next != nullptr) {
    const char* colon = strchr(next, ':');
    int length = colon != nullptr ? static_cast<int>(colon - next) : static_cast<int>(strlen(next));
    char path[PATH_MAX];
    // An empty entry is the working directory.
    int n = length > 0 ? snprintf(path, sizeof(path), "%.*s/%s", length, next, name)
                       : snprintf(path, sizeof(path), "./%s", name);
    next = colon != nullptr ? colon + 1 : nullptr;
    if (n < 0 || static_cast<size_t>(n) >= sizeof(path)) continue;
    execve(path, argv, envp);
    int error = errno;
    if (error == EACCES) {
      if (forbidden[0] == '\0' && FileExists(path)) memcpy(forbidden, path, sizeof(path));
      continue;
    }
    if ((error == ENOENT || error == ENOTDIR) && !FileExists(path)) continue;
    return Explain(path, error, message, size);
  }
  if (forbidden[0] != '\0') return Explain(forbidden, EACCES, message, size);
  snprintf(message, size, "%s: command not found in PATH (%s)", name, search_path);
  return kExitNotFound;
}

}  // namespace acetate::launcher
