#include "launcher/program.h"

#include <elf.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "common/temp_dir.h"

namespace acetate::launcher {
namespace {

std::string Diagnose(absl::string_view head, bool interpreter_missing) {
  char message[256];
  return DiagnoseProgram(head, interpreter_missing, message, sizeof(message)) ? message : "";
}

// An executable that exists only as its headers.
std::string Elf(unsigned machine, const std::string& interpreter) {
  Elf64_Ehdr elf = {};
  memcpy(elf.e_ident, ELFMAG, SELFMAG);
  elf.e_ident[EI_CLASS] = ELFCLASS64;
  elf.e_machine = static_cast<Elf64_Half>(machine);
  elf.e_phoff = sizeof(elf);
  elf.e_phentsize = sizeof(Elf64_Phdr);
  elf.e_phnum = 1;
  Elf64_Phdr segment = {};
  segment.p_type = PT_INTERP;
  segment.p_offset = sizeof(elf) + sizeof(segment);
  segment.p_filesz = interpreter.size() + 1;
  std::string file(reinterpret_cast<char*>(&elf), sizeof(elf));
  file.append(reinterpret_cast<char*>(&segment), sizeof(segment));
  return file + interpreter + '\0';
}

TEST(DiagnoseProgramTest, NamesAMissingInterpreter) {
  EXPECT_EQ(Diagnose("#!/bin/bash -e\nx", true), "its interpreter /bin/bash is missing in the image");
  EXPECT_EQ(Diagnose("#! /usr/bin/env perl", true), "its interpreter /usr/bin/env is missing in the image");
  EXPECT_EQ(Diagnose(Elf(EM_X86_64, "/lib/ld.so"), true), "its interpreter /lib/ld.so is missing in the image");
}

TEST(DiagnoseProgramTest, SeesACarriageReturn) {
  EXPECT_NE(Diagnose("#!/bin/sh\r\nx", true).find("carriage return"), std::string::npos);
}

TEST(DiagnoseProgramTest, SeesAnotherMachine) {
  EXPECT_NE(Diagnose(Elf(EM_S390, "/lib/ld.so"), false).find("another kind of machine (ELF machine 22"),
            std::string::npos);
}

TEST(DiagnoseProgramTest, SeesWhatIsNoProgram) {
  EXPECT_EQ(Diagnose("", false), "it is empty");
  EXPECT_EQ(Diagnose("hello", false), "it is neither a binary nor a script that begins with #!");
}

TEST(DiagnoseProgramTest, HostileHeadersTellNothing) {
  std::string file = Elf(EM_X86_64, "/lib/ld.so");
  EXPECT_EQ(Diagnose(file.substr(0, 10), true), "");
  EXPECT_EQ(Diagnose(file.substr(0, 70), true), "");
  Elf64_Ehdr elf;
  memcpy(&elf, file.data(), sizeof(elf));
  elf.e_phoff = ~uint64_t{0} - 8;
  elf.e_phnum = 0xffff;
  memcpy(file.data(), &elf, sizeof(elf));
  EXPECT_EQ(Diagnose(file, true), "");
  EXPECT_EQ(Diagnose("#!", true), "");
  EXPECT_EQ(Diagnose("#!\n", true), "");
}

TEST(ExecuteProgramTest, TellsNotFoundFromNotExecutable) {
  TempDir dir;
  WriteFile(dir / "plain", "hello", 0644);
  WriteFile(dir / "text", "hello", 0755);
  WriteFile(dir / "script", "#!/no/such/interpreter\n", 0755);
  MakeDirs(dir / "folder");
  auto run = [&](std::string name, std::string path) {
    char* argv[] = {name.data(), nullptr};
    char* envp[] = {nullptr};
    char message[512];
    int status = ExecuteProgram(argv, envp, path.c_str(), message, sizeof(message));
    return std::to_string(status) + " " + message;
  };
  std::string path = "/no/such/dir:" + dir.path();
  EXPECT_EQ(run("missing", path), "127 missing: command not found in PATH (" + path + ")");
  EXPECT_EQ(run("", path), "127 : command not found in PATH (" + path + ")");
  EXPECT_EQ(run("/no/such", path), "127 /no/such: command not found");
  EXPECT_EQ(run("plain", path), "126 " + (dir / "plain") + " cannot be executed: Permission denied");
  EXPECT_EQ(run(dir / "folder", path), "126 " + (dir / "folder") + " cannot be executed: it is a directory");
  EXPECT_EQ(run("text", path),
            "126 " + (dir / "text") + " cannot be executed: it is neither a binary nor a script that begins with #!");
  EXPECT_EQ(
      run("script", path),
      "126 " + (dir / "script") + " cannot be executed: its interpreter /no/such/interpreter is missing in the image");
}

}  // namespace
}  // namespace acetate::launcher
