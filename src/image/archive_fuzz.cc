// Any bytes as an archive: no crash, and no more than the limits allow.
#include "host/file_io.h"
#include "image/archive.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace usk;
  auto file = host::memory_file("fuzz");
  if (!file || !host::write(file->get(), std::as_bytes(std::span(data, size)))) return 0;
  BlobReader blob({make_ref<HostFd>(std::move(*file)), 0, size});
  ImageBuilder builder = *ImageBuilder::make({.bytes = 4 << 20, .entries = 1000});
  if (unpack_archive(blob, true, builder)) (void)builder.finish();
  return 0;
}
