#include "model/model_resolver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "model/testing/checkpoint_writer.h"

namespace ernie::model {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::TempFolder;

constexpr const char* kHubName = "baidu/ERNIE-4.5-VL-28B-A3B-Paddle";

Environment environment(std::map<std::string, std::string> variables) {
  return [variables](const char* name) -> std::optional<std::string> {
    const auto at = variables.find(name);
    if (at == variables.end()) return std::nullopt;
    return at->second;
  };
}

std::string found(const std::string& model, const Environment& env) {
  const auto folder = resolve_model(model, env);
  return folder ? *folder : folder.error().message;
}

TEST(ModelResolver, AFolderIsTakenAsItIs) {
  TempFolder home;
  home.write("m/config.json", "{}");
  EXPECT_EQ(found(home.path() + "/m", environment({})), home.path() + "/m");
  EXPECT_THAT(found(home.path(), environment({})), HasSubstr("no config.json"));
  EXPECT_THAT(found(home.path() + "/none", environment({})), HasSubstr("no such folder"));
  EXPECT_THAT(found("", environment({})), HasSubstr("--model"));
}

TEST(ModelResolver, HuggingFaceCacheFollowsTheMainReference) {
  TempFolder home;
  const std::string model = ".cache/huggingface/hub/models--baidu--ERNIE-4.5-VL-28B-A3B-Paddle/";
  home.write(model + "snapshots/aaa/config.json", "{}");
  home.write(model + "snapshots/bbb/config.json", "{}");
  home.write(model + "refs/main", "aaa\n");
  const auto env = environment({{"HOME", home.path()}});
  EXPECT_EQ(found(kHubName, env), home.path() + "/" + model + "snapshots/aaa");
  EXPECT_EQ(found(kHubName, environment({{"HOME", "/none"},
                                         {"HF_HOME", home.path() + "/.cache/huggingface"}})),
            home.path() + "/" + model + "snapshots/aaa");
  EXPECT_EQ(
      found(kHubName, environment({{"HOME", "/none"},
                                   {"HF_HUB_CACHE", home.path() + "/.cache/huggingface/hub"}})),
      home.path() + "/" + model + "snapshots/aaa");
  // A reference that leads out of the cache is not followed.
  home.write(model + "refs/main", "../../../../../x");
  EXPECT_THAT(found(kHubName, env), HasSubstr(model + "snapshots/"));
}

TEST(ModelResolver, ModelScopeAndAiStudioCaches) {
  TempFolder scope;
  scope.write(".cache/modelscope/hub/models/PaddlePaddle/ERNIE-4___5-VL-28B-A3B-Paddle/config.json",
              "{}");
  EXPECT_THAT(found(kHubName, environment({{"HOME", scope.path()}})),
              HasSubstr("ERNIE-4___5-VL-28B-A3B-Paddle"));
  TempFolder studio;
  studio.write("PaddlePaddle/ERNIE-4.5-VL-28B-A3B-Paddle/config.json", "{}");
  EXPECT_EQ(found(kHubName, environment({{"HOME", studio.path()}})),
            studio.path() + "/PaddlePaddle/ERNIE-4.5-VL-28B-A3B-Paddle");
  EXPECT_EQ(found(kHubName, environment({{"HOME", "/none"}, {"FD_MODEL_CACHE", studio.path()}})),
            studio.path() + "/PaddlePaddle/ERNIE-4.5-VL-28B-A3B-Paddle");
}

TEST(ModelResolver, NotFoundSaysWhereItLookedAndHowToGetIt) {
  const auto result = resolve_model(kHubName, environment({{"HOME", "/home/nobody"}}));
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().kind, ErrorKind::kNotFound);
  EXPECT_THAT(
      result.error().message,
      AllOf(HasSubstr("/home/nobody/.cache/huggingface/hub/models--baidu"),
            HasSubstr("/home/nobody/.cache/modelscope"), HasSubstr("/home/nobody/PaddlePaddle"),
            HasSubstr("huggingface-cli download baidu/ERNIE-4.5-VL-28B-A3B-Paddle")));
}

TEST(ModelResolver, NamesThatLeadElsewhereAreNoHubNames) {
  for (const char* name : {"../etc", "a/../b", "a/b/c", "/abs/path", "baidu/", "/x", "a/.b"}) {
    EXPECT_THAT(found(name, environment({{"HOME", "/none"}})), HasSubstr("existing folder"))
        << name;
  }
}

}  // namespace
}  // namespace ernie::model
