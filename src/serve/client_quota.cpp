#include "serve/client_quota.h"

#include <string>

namespace ernie::serve {
namespace {

size_t tokens_of(const engine::GenerationRequest& request) {
  return request.prompt->tokens.size() + static_cast<size_t>(request.sampling.max_tokens);
}

struct Kind {
  const char* what;
  const char* flag;
  const char* param;
  const char* code;
};
constexpr Kind kSequences{"sequences", "--max-sequences-per-client", "n", "too_many_sequences"};
constexpr Kind kTokens{"tokens", "--max-tokens-per-client", "max_tokens", "too_many_tokens"};

Result<FairLimiter::Share> take(FairLimiter& limiter, ClientId client, size_t amount,
                                const Kind& kind) {
  if (auto share = limiter.acquire(client, amount)) return std::move(*share);
  const std::string limit =
      std::to_string(limiter.limit_of_client()) + " " + kind.what + " (" + kind.flag + ")";
  if (amount > limiter.limit_of_client())
    return invalid_argument("the request may come to " + std::to_string(amount) + " " + kind.what +
                                ", but one client may have " + limit + " under way",
                            kind.param, kind.code);
  return Error{ErrorKind::kRateLimited,
               "this client has " + std::to_string(limiter.used_by(client)) + " of " + limit +
                   " under way, and the request may come to " + std::to_string(amount) +
                   "; try again later",
               {},
               kind.code};
}

}  // namespace

ClientQuota::ClientQuota(size_t max_sequences, size_t max_tokens)
    : sequences_(std::make_shared<FairLimiter>(0, max_sequences)),
      tokens_(std::make_shared<FairLimiter>(0, max_tokens)) {}

Result<ClientQuota::Share> ClientQuota::acquire(
    ClientId client, std::span<const engine::GenerationRequest> requests) const {
  size_t tokens = 0;
  for (const engine::GenerationRequest& request : requests) tokens += tokens_of(request);
  Share share;
  auto sequences = take(*sequences_, client, requests.size(), kSequences);
  if (!sequences) return sequences.error();
  share.sequences_ = std::move(*sequences);
  auto all_tokens = take(*tokens_, client, tokens, kTokens);
  if (!all_tokens) return all_tokens.error();
  share.tokens_ = std::move(*all_tokens);
  return share;
}

ClientQuota::Share ClientQuota::Share::split(const engine::GenerationRequest& request) {
  Share own;
  own.sequences_ = sequences_.split(1);
  own.tokens_ = tokens_.split(tokens_of(request));
  return own;
}

}  // namespace ernie::serve
