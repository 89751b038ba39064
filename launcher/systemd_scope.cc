#include "launcher/systemd_scope.h"

#include <dbus/dbus.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <functional>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "launcher/files.h"

// Debian's archive of libdbus refers to these two of libsystemd, of which there is no archive. They are for servers
// that are handed their sockets; this is none.
extern "C" {
int sd_listen_fds(int) { return 0; }
int sd_is_socket(int, int, int, int) { return 0; }
}

namespace acetate::launcher {
namespace {

constexpr char kName[] = "org.freedesktop.systemd1";
constexpr char kPath[] = "/org/freedesktop/systemd1";
constexpr char kManager[] = "org.freedesktop.systemd1.Manager";
constexpr std::chrono::seconds kPatience{10};

const char* Slice() { return geteuid() == 0 ? "system.slice" : "app.slice"; }

struct Unref {
  void operator()(DBusMessage* message) const { dbus_message_unref(message); }
};
using Message = std::unique_ptr<DBusMessage, Unref>;

// An error that is freed.
class Error {
 public:
  Error() { dbus_error_init(&error_); }
  ~Error() { dbus_error_free(&error_); }
  Error(const Error&) = delete;
  Error& operator=(const Error&) = delete;

  DBusError* get() { return &error_; }
  absl::Status Status() const {
    return absl::UnavailableError(dbus_error_is_set(&error_) != 0 ? error_.message : "no answer");
  }

 private:
  DBusError error_;
};

// Appends to a message that is being made.
class Writer {
 public:
  explicit Writer(DBusMessage* message) { dbus_message_iter_init_append(message, &top_); }

  Writer& String(const char* text) {
    dbus_message_iter_append_basic(&top_, DBUS_TYPE_STRING, &text);
    return *this;
  }

  Writer& Numbers(dbus_uint32_t number) {
    AppendArray(&top_, number);
    return *this;
  }

  void OpenProperties() { dbus_message_iter_open_container(&top_, DBUS_TYPE_ARRAY, "(sv)", &properties_); }
  void CloseProperties() { dbus_message_iter_close_container(&top_, &properties_); }

  void Property(const char* name, const char* value) {
    AppendProperty(name, "s",
                   [&](DBusMessageIter* to) { dbus_message_iter_append_basic(to, DBUS_TYPE_STRING, &value); });
  }
  void Property(const char* name, bool value) {
    dbus_bool_t flag = value ? 1 : 0;
    AppendProperty(name, "b",
                   [&](DBusMessageIter* to) { dbus_message_iter_append_basic(to, DBUS_TYPE_BOOLEAN, &flag); });
  }
  void Property(const char* name, dbus_uint32_t only) {
    AppendProperty(name, "au", [&](DBusMessageIter* to) { AppendArray(to, only); });
  }

  void NoFurtherUnits() {
    DBusMessageIter none;
    dbus_message_iter_open_container(&top_, DBUS_TYPE_ARRAY, "(sa(sv))", &none);
    dbus_message_iter_close_container(&top_, &none);
  }

 private:
  static void AppendArray(DBusMessageIter* to, dbus_uint32_t only) {
    DBusMessageIter array;
    dbus_message_iter_open_container(to, DBUS_TYPE_ARRAY, "u", &array);
    dbus_message_iter_append_basic(&array, DBUS_TYPE_UINT32, &only);
    dbus_message_iter_close_container(to, &array);
  }

  template <typename Append>
  void AppendProperty(const char* name, const char* type, const Append& append) {
    DBusMessageIter pair, value;
    dbus_message_iter_open_container(&properties_, DBUS_TYPE_STRUCT, nullptr, &pair);
    dbus_message_iter_append_basic(&pair, DBUS_TYPE_STRING, &name);
    dbus_message_iter_open_container(&pair, DBUS_TYPE_VARIANT, type, &value);
    append(&value);
    dbus_message_iter_close_container(&pair, &value);
    dbus_message_iter_close_container(&properties_, &pair);
  }

  DBusMessageIter top_;
  DBusMessageIter properties_;
};

class Bus {
 public:
  Bus() = default;
  ~Bus() {
    if (connection_ == nullptr) return;
    dbus_connection_close(connection_);
    dbus_connection_unref(connection_);
  }
  Bus(const Bus&) = delete;
  Bus& operator=(const Bus&) = delete;

  absl::Status Connect() {
    const std::string address = BusAddress(geteuid(), getenv("DBUS_SESSION_BUS_ADDRESS"), getenv("XDG_RUNTIME_DIR"));
    // The library would have the whole process ignore the signal.
    dbus_connection_set_change_sigpipe(0);
    Error error;
    connection_ = dbus_connection_open_private(address.c_str(), error.get());
    if (connection_ == nullptr) return error.Status();
    dbus_connection_set_exit_on_disconnect(connection_, 0);
    return dbus_bus_register(connection_, error.get()) != 0 ? absl::OkStatus() : error.Status();
  }

  absl::StatusOr<Message> Call(const char* interface, const char* method, const std::function<void(Writer*)>& write,
                               const char* path = kPath) const {
    Message call(dbus_message_new_method_call(kName, path, interface, method));
    dbus_message_set_auto_start(call.get(), 0);
    Writer writer(call.get());
    write(&writer);
    Error error;
    Message answer(dbus_connection_send_with_reply_and_block(
        connection_, call.get(), static_cast<int>(std::chrono::milliseconds(kPatience).count()), error.get()));
    if (answer == nullptr) return error.Status();
    return answer;
  }

  // Reads a property of that type; `take` gets its value, which lives until it returns.
  absl::Status Get(const char* path, const char* interface, const char* property, int type,
                   const std::function<void(DBusMessageIter*)>& take) const {
    absl::StatusOr<Message> answer = Call(
        "org.freedesktop.DBus.Properties", "Get", [&](Writer* writer) { writer->String(interface).String(property); },
        path);
    if (!answer.ok()) return answer.status();
    DBusMessageIter top, value;
    dbus_message_iter_init(answer->get(), &top);
    if (dbus_message_iter_get_arg_type(&top) != DBUS_TYPE_VARIANT)
      return absl::InternalError("systemd's answer is odd");
    dbus_message_iter_recurse(&top, &value);
    if (dbus_message_iter_get_arg_type(&value) != type) return absl::InternalError("systemd's answer is odd");
    take(&value);
    return absl::OkStatus();
  }

  absl::Status Match(const char* rule) const {
    Error error;
    dbus_bus_add_match(connection_, rule, error.get());
    return dbus_error_is_set(error.get()) != 0 ? error.Status() : absl::OkStatus();
  }

  // The result of a job of systemd's, once it is done.
  absl::StatusOr<std::string> AwaitJob(const std::string& job) const {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    for (;;) {
      while (Message message{dbus_connection_pop_message(connection_)}) {
        if (dbus_message_is_signal(message.get(), kManager, "JobRemoved") == 0) continue;
        dbus_uint32_t id;
        const char *path, *unit, *result;
        if (dbus_message_get_args(message.get(), nullptr, DBUS_TYPE_UINT32, &id, DBUS_TYPE_OBJECT_PATH, &path,
                                  DBUS_TYPE_STRING, &unit, DBUS_TYPE_STRING, &result, DBUS_TYPE_INVALID) != 0 &&
            job == path) {
          return std::string(result);
        }
      }
      auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
      if (left.count() <= 0) return absl::DeadlineExceededError("systemd did not start it within ten seconds");
      if (dbus_connection_read_write(connection_, static_cast<int>(left.count())) == 0) {
        return absl::UnavailableError("systemd closed the connection");
      }
    }
  }

 private:
  DBusConnection* connection_ = nullptr;
};

}  // namespace

std::string BusAddress(uid_t user, const char* session_bus, const char* runtime_dir) {
  if (user == 0) return "unix:path=/run/dbus/system_bus_socket";
  if (session_bus != nullptr && *session_bus != 0) return session_bus;
  const bool has_dir = runtime_dir != nullptr && *runtime_dir != 0;
  return absl::StrCat("unix:path=", has_dir ? runtime_dir : absl::StrCat("/run/user/", user), "/bus");
}

absl::StatusOr<ScopePlace> FindSystemdScope(const std::string& unified_mount, absl::string_view unit) {
  Bus bus;
  if (absl::Status s = bus.Connect(); !s.ok()) return s;
  std::string managers;
  if (absl::Status s = bus.Get(kPath, kManager, "ControlGroup", DBUS_TYPE_STRING,
                               [&](DBusMessageIter* value) {
                                 const char* group;
                                 dbus_message_iter_get_basic(value, &group);
                                 managers = absl::StrCat(unified_mount, group);
                               });
      !s.ok()) {
    return s;
  }
  ScopePlace place;
  place.directory = absl::StrCat(managers, "/", Slice(), "/", unit);
  place.controllers = ReadFileOrEmpty(managers + "/cgroup.controllers");
  return place;
}

bool IsDelegatedUnit(const std::string& unit) {
  Bus bus;
  if (!bus.Connect().ok()) return false;
  absl::StatusOr<Message> answer = bus.Call(kManager, "GetUnit", [&](Writer* writer) { writer->String(unit.c_str()); });
  const char* path;
  if (!answer.ok() ||
      dbus_message_get_args(answer->get(), nullptr, DBUS_TYPE_OBJECT_PATH, &path, DBUS_TYPE_INVALID) == 0) {
    return false;
  }
  const char* kind =
      absl::EndsWith(unit, ".scope") ? "org.freedesktop.systemd1.Scope" : "org.freedesktop.systemd1.Service";
  dbus_bool_t delegated = 0;
  absl::Status status = bus.Get(path, kind, "Delegate", DBUS_TYPE_BOOLEAN,
                                [&](DBusMessageIter* value) { dbus_message_iter_get_basic(value, &delegated); });
  return status.ok() && delegated != 0;
}

SystemdQuestions AskSystemd(const std::string& unified_mount) {
  return {[unified_mount](absl::string_view unit) { return FindSystemdScope(unified_mount, unit); },
          [](absl::string_view unit) { return IsDelegatedUnit(std::string(unit)); }};
}

absl::Status StartSystemdScope(const std::string& unit) {
  Bus bus;
  if (absl::Status s = bus.Connect(); !s.ok()) return s;
  // Told before the unit is asked for, so that its end is not missed. systemd sends signals only to those who ask.
  if (absl::Status s = bus.Match("type='signal',interface='org.freedesktop.systemd1.Manager',member='JobRemoved'");
      !s.ok()) {
    return s;
  }
  if (absl::StatusOr<Message> s = bus.Call(kManager, "Subscribe", [](Writer*) {}); !s.ok()) return s.status();
  absl::StatusOr<Message> answer = bus.Call(kManager, "StartTransientUnit", [&](Writer* writer) {
    writer->String(unit.c_str()).String("fail");
    writer->OpenProperties();
    writer->Property("Description", "a container of launch");
    writer->Property("Slice", Slice());
    writer->Property("PIDs", static_cast<dbus_uint32_t>(getpid()));
    writer->Property("Delegate", true);
    writer->Property("CollectMode", "inactive-or-failed");
    writer->CloseProperties();
    writer->NoFurtherUnits();
  });
  if (!answer.ok()) return answer.status();
  const char* job;
  Error error;
  if (dbus_message_get_args(answer->get(), error.get(), DBUS_TYPE_OBJECT_PATH, &job, DBUS_TYPE_INVALID) == 0) {
    return error.Status();
  }
  absl::StatusOr<std::string> result = bus.AwaitJob(job);
  if (!result.ok()) return result.status();
  return *result == "done" ? absl::OkStatus() : absl::UnavailableError(absl::StrCat("systemd's job is ", *result));
}

absl::Status JoinSystemdUnit(const std::string& unit, const std::string& below) {
  Bus bus;
  if (absl::Status s = bus.Connect(); !s.ok()) return s;
  return bus
      .Call(kManager, "AttachProcessesToUnit",
            [&](Writer* writer) {
              writer->String(unit.c_str()).String(below.c_str()).Numbers(static_cast<dbus_uint32_t>(getpid()));
            })
      .status();
}

}  // namespace acetate::launcher
