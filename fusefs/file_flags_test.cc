#include "fusefs/file_flags.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "common/syscalls.h"
#include "common/temp_dir.h"

namespace acetate::fusefs {
namespace {

TEST(FileFlagsTest, ProtectionIsStoredAsTheKernelStoresIt) {
  EXPECT_EQ(EncodeProtection(0), "");
  EXPECT_EQ(EncodeProtection(FS_APPEND_FL | FS_NODUMP_FL), "a");
  EXPECT_EQ(EncodeProtection(FS_IMMUTABLE_FL), "i");
  EXPECT_EQ(EncodeProtection(FS_IMMUTABLE_FL | FS_APPEND_FL), "ai");
}

TEST(FileFlagsTest, LettersFromTheFirstUnknownOneOnMeanNothing) {
  EXPECT_EQ(DecodeProtection(""), 0U);
  EXPECT_EQ(DecodeProtection("a"), static_cast<unsigned>(FS_APPEND_FL));
  EXPECT_EQ(DecodeProtection("ia"), static_cast<unsigned>(FS_IMMUTABLE_FL | FS_APPEND_FL));
  EXPECT_EQ(DecodeProtection("azi"), static_cast<unsigned>(FS_APPEND_FL));
  EXPECT_EQ(DecodeProtection("zi"), 0U);
}

TEST(FileFlagsTest, ImmutableForbidsMoreThanAppendOnly) {
  EXPECT_EQ(ProtectionBy(FS_NODUMP_FL), Protection::kNone);
  EXPECT_EQ(ProtectionBy(FS_APPEND_FL), Protection::kAppendOnly);
  EXPECT_EQ(ProtectionBy(FS_IMMUTABLE_FL | FS_APPEND_FL), Protection::kImmutable);
}

TEST(FileFlagsTest, TheTwoSetsOfFlagsAgree) {
  for (unsigned flags : {0U, static_cast<unsigned>(FS_APPEND_FL), static_cast<unsigned>(FS_IMMUTABLE_FL),
                         static_cast<unsigned>(FS_APPEND_FL | FS_IMMUTABLE_FL)}) {
    EXPECT_EQ(ProtectionOfXflags(XflagsOfProtection(flags)), flags);
  }
  EXPECT_EQ(ProtectionOfXflags(FS_XFLAG_NODUMP), 0U);
  EXPECT_EQ(XflagsOfProtection(FS_NODUMP_FL), 0U);
}

TEST(FileFlagsTest, AFilesystemWithoutFlagsIsNotATypewriter) {
  UniqueFd proc = *sys::OpenAt(AT_FDCWD, "/proc/self/status", O_RDONLY);
  EXPECT_EQ(ReadFlags(proc.get()).error(), ENOTTY);
  EXPECT_EQ(ReadFsXattr(proc.get()).error(), ENOTTY);
  EXPECT_EQ(ReadProtection(AT_FDCWD, "/proc/self/status"), 0U);
}

TEST(FileFlagsTest, WhatIsWrittenIsRead) {
  TempDir dir;
  WriteFile(dir / "file", "");
  UniqueFd file = *sys::OpenAt(AT_FDCWD, (dir / "file").c_str(), O_RDONLY);
  ErrnoOr<unsigned> flags = ReadFlags(file.get());
  if (flags.error() == ENOTTY) GTEST_SKIP() << dir.path() << " lies on a filesystem without flags";
  ASSERT_TRUE(flags.ok());
  ASSERT_EQ(WriteFlags(file.get(), *flags | FS_NODUMP_FL), 0);
  EXPECT_EQ(*ReadFlags(file.get()), *flags | FS_NODUMP_FL);
  EXPECT_EQ(ReadProtection(file.get(), ""), 0U);
}

}  // namespace
}  // namespace acetate::fusefs
