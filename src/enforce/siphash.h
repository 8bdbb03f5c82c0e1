// SipHash-2-4 of one word: a value that cannot be guessed without the key (Aumasson and Bernstein,
// "SipHash: a fast short-input PRF").
#pragma once
#include <bit>
#include <cstdint>

namespace usk {

struct SipKey {
  uint64_t k0 = 0, k1 = 0;
};

constexpr uint64_t siphash(SipKey key, uint64_t word) {
  uint64_t a = key.k0 ^ 0x736f6d6570736575, b = key.k1 ^ 0x646f72616e646f6d,
           c = key.k0 ^ 0x6c7967656e657261, d = key.k1 ^ 0x7465646279746573;
  const auto rounds = [&](int n) {
    while (n-- > 0) {
      a += b, b = std::rotl(b, 13) ^ a, a = std::rotl(a, 32);
      c += d, d = std::rotl(d, 16) ^ c;
      a += d, d = std::rotl(d, 21) ^ a;
      c += b, b = std::rotl(b, 17) ^ c, c = std::rotl(c, 32);
    }
  };
  constexpr uint64_t kLength = uint64_t(8) << 56;
  for (const uint64_t block : {word, kLength}) {
    d ^= block;
    rounds(2);
    a ^= block;
  }
  c ^= 0xff;
  rounds(4);
  return a ^ b ^ c ^ d;
}

}  // namespace usk
