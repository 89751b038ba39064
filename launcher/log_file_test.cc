#include "launcher/log_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "common/temp_dir.h"

namespace acetate::launcher {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

LogWriter Open(const TempDir& dir, uint64_t max_bytes = 0) {
  ErrnoOr<LogWriter> log = LogWriter::Open(dir.path(), max_bytes);
  if (!log.ok()) throw std::runtime_error("no log");
  return *std::move(log);
}

// The lines with their times taken off; what is malformed shows as such.
std::vector<std::string> Shown(const std::vector<std::string>& lines) {
  std::vector<std::string> shown;
  for (const std::string& line : lines) {
    LogLine parsed;
    bool good = ParseLogLine(line, &parsed);
    shown.push_back(!good ? "malformed"
                          : std::string(parsed.stream == Stream::kOut ? "out" : "err") + (parsed.ends ? " F " : " P ") +
                                std::string(parsed.text));
  }
  return shown;
}

TEST(LogFileTest, EachStreamIsSplitIntoLinesOfItsOwn) {
  TempDir dir;
  LogWriter log = Open(dir);
  log.Append(Stream::kOut, "one\ntw");
  log.Append(Stream::kErr, "oops\n");
  log.Append(Stream::kOut, "o\n\n$ ");
  log.Flush();
  LogReader reader(dir.path());
  EXPECT_THAT(Shown(reader.ReadLines()), ElementsAre("out F one", "err F oops", "out F two", "out F ", "out P $ "));
}

TEST(LogFileTest, AnyByteComesBack) {
  TempDir dir;
  LogWriter log = Open(dir);
  log.Append(Stream::kOut, std::string("a\0b\xff\r x \n", 9));
  LogReader reader(dir.path());
  EXPECT_THAT(Shown(reader.ReadLines()), ElementsAre("out F " + std::string("a\0b\xff\r x ", 8)));
}

TEST(LogFileTest, ALongLineIsKeptInPieces) {
  TempDir dir;
  LogWriter log = Open(dir);
  log.Append(Stream::kOut, std::string(40000, 'x') + "\n");
  std::vector<std::string> lines = LogReader(dir.path()).ReadLines();
  ASSERT_EQ(lines.size(), 3u);
  size_t total = 0;
  for (const std::string& line : lines) {
    LogLine parsed;
    ASSERT_TRUE(ParseLogLine(line, &parsed));
    EXPECT_EQ(parsed.ends, &line == &lines.back());
    total += parsed.text.size();
  }
  EXPECT_EQ(total, 40000u);
}

TEST(LogFileTest, AReaderGoesOnWhereItStopped) {
  TempDir dir;
  LogWriter log = Open(dir);
  log.Append(Stream::kOut, "one\n");
  LogReader reader(dir.path());
  EXPECT_THAT(Shown(reader.ReadLines()), ElementsAre("out F one"));
  EXPECT_THAT(reader.ReadLines(), IsEmpty());
  log.Append(Stream::kOut, "two\n");
  EXPECT_THAT(Shown(reader.ReadLines()), ElementsAre("out F two"));
}

TEST(LogFileTest, TheSizeIsBoundedAndAReaderFollowsIntoTheNewFile) {
  TempDir dir;
  LogWriter log = Open(dir, 4096);
  log.Append(Stream::kOut, "first\n");
  LogReader reader(dir.path());
  EXPECT_EQ(reader.ReadLines().size(), 1u);
  std::vector<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    log.Append(Stream::kOut, std::to_string(i) + "\n");
    // Whoever reads often enough misses nothing.
    if (i % 20 == 19) {
      for (std::string& line : reader.ReadLines()) seen.push_back(std::move(line));
    }
  }
  ASSERT_EQ(seen.size(), 1000u);
  EXPECT_EQ(Shown({seen.back()})[0], "out F 999");
  EXPECT_LE(std::filesystem::file_size(dir / "log"), 4096u);
  EXPECT_LE(std::filesystem::file_size(dir / "log.1"), 4096u);
  // Who comes late gets the two pieces.
  std::vector<std::string> late = Shown(LogReader(dir.path()).ReadLines());
  ASSERT_GT(late.size(), 20u);
  EXPECT_EQ(late.back(), "out F 999");
}

TEST(LogFileTest, ALaterRunAppends) {
  TempDir dir;
  Open(dir).Append(Stream::kOut, "one\n");
  Open(dir).Append(Stream::kOut, "two\n");
  EXPECT_THAT(Shown(LogReader(dir.path()).ReadLines()), ElementsAre("out F one", "out F two"));
}

TEST(LogFileTest, WithoutALogThereIsNothingToRead) {
  TempDir dir;
  LogReader reader(dir.path());
  EXPECT_FALSE(reader.exists());
  EXPECT_THAT(reader.ReadLines(), IsEmpty());
}

TEST(LogFileTest, MalformedLinesAreRefused) {
  LogLine line;
  for (const char* text : {"", "x", "t stdout", "t stdout F", "t stdlog F x", "t stdout Q x"}) {
    EXPECT_FALSE(ParseLogLine(text, &line)) << text;
  }
}

}  // namespace
}  // namespace acetate::launcher
