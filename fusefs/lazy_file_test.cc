#include "fusefs/lazy_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <random>
#include <string>
#include <thread>

#include "common/temp_dir.h"

namespace acetate::fusefs {
namespace {

constexpr off_t kSize = 5 * LazyFile::kPiece + 12345;

std::string Pattern(size_t size) {
  std::string text(size, '\0');
  std::mt19937 random(1);
  for (char& c : text) c = static_cast<char>('a' + random() % 26);
  return text;
}

class LazyFileTest : public testing::Test {
 protected:
  LazyFileTest() {
    WriteFile(temp_ / "lower", Pattern(kSize));
    expected_ = Pattern(kSize);
    WriteFile(temp_ / "upper", "");
    EXPECT_EQ(truncate((temp_ / "upper").c_str(), kSize), 0);
    Open(kSize);
  }
  void Open(off_t floor) {
    file_ = std::make_unique<LazyFile>(UniqueFd(open((temp_ / "upper").c_str(), O_RDWR)),
                                       UniqueFd(open((temp_ / "lower").c_str(), O_RDONLY)), floor);
  }
  std::string All() {
    std::string buffer(expected_.size() + 100, 'x');
    ErrnoOr<size_t> size = file_->Read(buffer.data(), buffer.size(), 0);
    EXPECT_TRUE(size.ok());
    buffer.resize(size.ok() ? *size : 0);
    return buffer;
  }
  void Write(const std::string& data, off_t offset) {
    ErrnoOr<size_t> written = file_->Write(data.data(), data.size(), offset);
    ASSERT_TRUE(written.ok());
    ASSERT_EQ(*written, data.size());
    const size_t end = static_cast<size_t>(offset) + data.size();
    if (expected_.size() < end) expected_.resize(end);
    expected_.replace(static_cast<size_t>(offset), data.size(), data);
  }
  off_t Truncate(off_t size) {
    ErrnoOr<off_t> floor = file_->Truncate(size);
    EXPECT_TRUE(floor.ok());
    expected_.resize(static_cast<size_t>(size));
    return floor.ok() ? *floor : -1;
  }
  void CopyAll() {
    for (int i = 0; i < 100; ++i) {
      ErrnoOr<bool> done = file_->CopySome();
      ASSERT_TRUE(done.ok());
      if (*done) return;
    }
    FAIL() << "never done";
  }

  TempDir temp_;
  std::string expected_;
  std::unique_ptr<LazyFile> file_;
};

TEST_F(LazyFileTest, ReadsTheLowerFileUntilItIsCopied) {
  EXPECT_EQ(All(), expected_);
  char buffer[10];
  EXPECT_EQ(*file_->Read(buffer, sizeof(buffer), kSize - 3), 3u);
  EXPECT_EQ(*file_->Read(buffer, sizeof(buffer), kSize), 0u);
  EXPECT_EQ(*file_->Read(buffer, sizeof(buffer), kSize + 1), 0u);
  CopyAll();
  file_->Finish();
  EXPECT_EQ(All(), expected_);
  EXPECT_EQ(ReadFile(temp_ / "upper"), expected_);
}

TEST_F(LazyFileTest, AWriteCopiesOnlyWhatItTouches) {
  Write("X", LazyFile::kPiece + 17);
  EXPECT_EQ(All(), expected_);
  struct stat st;
  ASSERT_EQ(stat((temp_ / "upper").c_str(), &st), 0);
  EXPECT_LE(st.st_blocks * 512, 2 * LazyFile::kPiece);
  CopyAll();
  EXPECT_EQ(ReadFile(temp_ / "upper"), expected_);
}

TEST_F(LazyFileTest, ItIsTheSameWhenItIsOpenedAgain) {
  Write(std::string(100000, 'Y'), 1000);
  ASSERT_TRUE(file_->CopySome().ok());
  Open(kSize);
  EXPECT_EQ(All(), expected_);
  Write("Z", 200000);
  Open(kSize);
  EXPECT_EQ(All(), expected_);
  CopyAll();
  EXPECT_EQ(ReadFile(temp_ / "upper"), expected_);
}

TEST_F(LazyFileTest, WhatATruncationCutOffDoesNotComeBack) {
  const off_t floor = Truncate(1000);
  EXPECT_EQ(floor, 1000);
  Truncate(kSize);
  EXPECT_EQ(All(), expected_);
  Open(floor);
  EXPECT_EQ(All(), expected_);
  Write("W", 3 * LazyFile::kPiece + 5);
  EXPECT_EQ(All(), expected_);
  CopyAll();
  EXPECT_EQ(ReadFile(temp_ / "upper"), expected_);
}

TEST_F(LazyFileTest, ItGrows) {
  Write("at the end", kSize);
  Write("beyond", kSize + 3 * LazyFile::kPiece);
  EXPECT_EQ(All(), expected_);
  CopyAll();
  EXPECT_EQ(ReadFile(temp_ / "upper"), expected_);
}

TEST_F(LazyFileTest, HolesOfTheLowerFileStayHoles) {
  ASSERT_EQ(truncate((temp_ / "lower").c_str(), 10), 0);
  ASSERT_EQ(truncate((temp_ / "lower").c_str(), kSize), 0);
  expected_.replace(10, std::string::npos, std::string(kSize - 10, '\0'));
  Write("V", 2 * LazyFile::kPiece + 1);
  EXPECT_EQ(All(), expected_);
  CopyAll();
  EXPECT_EQ(ReadFile(temp_ / "upper"), expected_);
}

TEST_F(LazyFileTest, RandomOperationsGiveWhatAnOrdinaryFileHolds) {
  std::mt19937 random(7);
  off_t floor = kSize;
  for (int i = 0; i < 600; ++i) {
    const off_t at = static_cast<off_t>(random() % (kSize + kSize / 4));
    switch (random() % 8) {
      case 0:
        floor = Truncate(at);
        break;
      case 1:
        ASSERT_TRUE(file_->CopySome().ok());
        break;
      case 2:
        Open(floor);
        break;
      default:
        Write(std::string(random() % (random() % 2 == 0 ? 100 : 2 * LazyFile::kPiece), static_cast<char>('A' + i % 26)),
              at);
    }
    ASSERT_TRUE(All() == expected_) << i;
  }
  CopyAll();
  EXPECT_TRUE(ReadFile(temp_ / "upper") == expected_);
}

TEST_F(LazyFileTest, ChangesComeBeforeTheCopying) {
  constexpr off_t kLarge = 64 << 20;
  WriteFile(temp_ / "lower", std::string(kLarge, 'l'));
  ASSERT_EQ(truncate((temp_ / "upper").c_str(), kLarge), 0);
  Open(kLarge);
  std::atomic<int> copied{0};
  std::atomic<bool> done{false};
  std::thread copier([&] {
    for (ErrnoOr<bool> all = false; all.ok() && !*all; ++copied) all = file_->CopySome();
    done = true;
  });
  int writes = 0;
  int waited_for = 0;
  for (; !done; ++writes) {
    const int before = copied;
    ASSERT_TRUE(file_->Write("w", 1, kLarge - 1).ok());
    waited_for += copied - before;
  }
  copier.join();
  // One that is under way, and one that began before the write asked; a few more where the machine is busy.
  EXPECT_LE(waited_for, 2 * writes + 10);
}

}  // namespace
}  // namespace acetate::fusefs
