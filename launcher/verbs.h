// The verbs besides run: what each does with containers that exist. All print what is wrong, on one line, and return
// the status to exit with: 125 if it is launch that failed.
#pragma once

#include "launcher/flags.h"

namespace acetate::launcher {

// `line.verb` says which.
int DoVerb(const CommandLine& line);

// Each takes the store's root; what killed supervisors left has been cleaned up.
int List(const CommandLine& line, const std::string& store_root);
int Inspect(const CommandLine& line, const std::string& store_root);
int Logs(const CommandLine& line, const std::string& store_root);
int Attach(const CommandLine& line, const std::string& store_root);
int Exec(const CommandLine& line, const std::string& store_root);
int Start(const CommandLine& line, const std::string& store_root);
int Stop(const CommandLine& line, const std::string& store_root);
int Kill(const CommandLine& line, const std::string& store_root);
int Wait(const CommandLine& line, const std::string& store_root);
int Remove(const CommandLine& line, const std::string& store_root);
int PauseOrUnpause(const CommandLine& line, const std::string& store_root);
int Whence(const CommandLine& line, const std::string& store_root);

// Needs no store, and fails when no container can run.
int Doctor(const CommandLine& line);

}  // namespace acetate::launcher
