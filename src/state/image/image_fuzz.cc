// Any bytes as what an image consists of: no crash, no more memory than the input pays for. The
// first byte says as which.
#include "host/file.h"
#include "host/file_io.h"
#include "state/document.h"
#include "state/image/image.h"

namespace usk::state {
namespace {

void read_frames(std::string_view bytes) {
  auto made = host::memory_file("fuzz");
  if (!made) return;
  auto file = make_ref<HostFd>(std::move(*made));
  if (!host::pwrite(*file, std::as_bytes(std::span(bytes)), 0)) return;
  // As large as it says: the table is compared with that of the manifest.
  for (const uint64_t plain : {bytes.size(), size_t(4096), kFrameSize}) {
    auto frames = FrameReader::open(file, bytes.size(), plain);
    for (size_t i = 0; frames && i < frames->count(); i++) (void)frames->read(i);
  }
}

}  // namespace
}  // namespace usk::state

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace usk::state;
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 4) {
    case 0: (void)Manifest::parse(bytes); break;
    case 1: (void)PageMap::decode(bytes, 1 << 20, 1 << 30); break;
    case 2: read_frames(bytes); break;
    default:
      if (auto document = Document::parse(bytes)) {
        for (const auto& [name, value] : document->roots) (void)shown(value);
      }
  }
  return 0;
}
