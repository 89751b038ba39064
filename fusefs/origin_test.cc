#include "fusefs/origin.h"

#include <gtest/gtest.h>

namespace acetate::fusefs {
namespace {

TEST(OriginTest, IsWhatWasWritten) {
  const Origin origin{0x0123456789abcdef, 0xfedcba9876543210};
  const std::string value = origin.Encode();
  EXPECT_EQ(value.size(), 16u);
  EXPECT_EQ(static_cast<unsigned char>(value[0]), 0xef);
  ErrnoOr<Origin> read = Origin::Parse(value);
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->ino, origin.ino);
  EXPECT_EQ(read->layer, origin.layer);
}

TEST(OriginTest, OtherLengthsAreEio) {
  EXPECT_EQ(Origin::Parse("").error(), EIO);
  EXPECT_EQ(Origin::Parse(std::string(15, 'x')).error(), EIO);
  EXPECT_EQ(Origin::Parse(std::string(17, 'x')).error(), EIO);
}

}  // namespace
}  // namespace acetate::fusefs
