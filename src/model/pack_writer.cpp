#include "model/pack_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/result.h"
#include "model/compressed_tensors.h"
#include "model/ernie45_vl/ernie45_vl.h"
#include "model/pack_index.h"
#include "model/part_reader.h"
#include "model/quantization.h"
#include "model/weight_loader.h"
#include "ops/quantize.h"
#include "text/json_file.h"

namespace ernie::model {
namespace {

namespace fs = std::filesystem;

// Parts of one matrix, or a small tensor.
struct Entry {
  std::vector<MatrixPart> parts;
  WeightFormat format;
};

// Lists what a rank loads.
class EntryList : public WeightLoader {
 public:
  explicit EntryList(const WeightSource& source) : source_(source) {}

  using WeightLoader::matrix;
  bool has(const TensorSpec& spec) const override { return source_.has(spec); }
  std::unique_ptr<Weight> matrix(std::span<const MatrixPart> parts, WeightFormat format,
                                 ops::MatrixUse) override {
    entries_.push_back({{parts.begin(), parts.end()}, format});
    return nullptr;
  }
  std::unique_ptr<ExpertSet> experts(ExpertWeights) override { return nullptr; }
  TensorView tensor(const TensorSpec& spec, DType dtype) override {
    entries_.push_back({{{spec, whole(spec)}}, unquantized(dtype)});
    return {nullptr, dtype, {spec.cols}};
  }

  std::vector<Entry> take() { return std::move(entries_); }

 private:
  const WeightSource& source_;
  std::vector<Entry> entries_;
};

// Writes one safetensors file whose tensors were announced all, in order, before the first comes.
class RankFile {
 public:
  explicit RankFile(std::string path) : path_(std::move(path)) {}

  void announce(const std::string& name, const char* type, int64_t rows, int64_t cols,
                size_t element_bytes) {
    add(name, type, {rows, cols}, static_cast<size_t>(rows * cols) * element_bytes);
  }
  void announce_shape(const std::string& name) { add(name, "I64", {2}, 2 * sizeof(int64_t)); }

  void begin() {
    std::string header = boost::json::serialize(header_);
    header.resize((header.size() + 7) / 8 * 8, ' ');
    const uint64_t length = header.size();
    header.insert(0, reinterpret_cast<const char*>(&length), sizeof(length));
    file_.header = hash_bytes(header.data(), header.size());
    file_.bytes = header.size() + data_bytes_;
    stream_.open(path_, std::ios::binary | std::ios::trunc);
    put(header.data(), header.size());
  }

  void write(const std::string& name, std::span<const std::byte> data) {
    CHECK(next_ < tensors_.size() && tensors_[next_] == std::pair(name, data.size()),
          "tensors come in the order in which they were announced, not " + name);
    ++next_;
    file_.tensors.emplace(name, hash_bytes(data.data(), data.size()));
    put(data.data(), data.size());
  }

  PackIndex::File finish() {
    CHECK(next_ == tensors_.size(), "all announced tensors come");
    stream_.close();
    if (!stream_) fail();
    return std::move(file_);
  }

  size_t data_bytes() const { return data_bytes_; }

 private:
  void add(const std::string& name, const char* type, boost::json::array shape, size_t bytes) {
    header_[name] = {{"dtype", type},
                     {"shape", std::move(shape)},
                     {"data_offsets", {data_bytes_, data_bytes_ + bytes}}};
    data_bytes_ += bytes;
    tensors_.emplace_back(name, bytes);
  }
  void put(const void* data, size_t bytes) {
    stream_.write(static_cast<const char*>(data), static_cast<std::streamsize>(bytes));
    if (!stream_) fail();
  }
  [[noreturn]] void fail() const {
    throw StartError(path_ + ": cannot write: " + std::strerror(errno));
  }

  std::string path_;
  std::ofstream stream_;
  boost::json::object header_;
  size_t data_bytes_ = 0;
  std::vector<std::pair<std::string, size_t>> tensors_;  // announced, with their bytes
  size_t next_ = 0;
  PackIndex::File file_;
};

// Calls run(begin, end) for ranges that cover [0, rows), on all cores.
template <class Run>
void for_ranges(int64_t rows, const Run& run) {
  constexpr int64_t kFewest = 64;  // rows that are worth a thread
  const int64_t cores = std::max(1u, std::thread::hardware_concurrency());
  const int64_t threads = std::clamp<int64_t>(rows / kFewest, 1, cores);
  std::vector<std::jthread> others;
  for (int64_t t = 1; t < threads; ++t) {
    others.emplace_back(run, rows * t / threads, rows * (t + 1) / threads);
  }
  run(0, rows / threads);
}

Hash128 hash_file(const fs::path& path) {
  const std::string text = take(text::read_file(path.string()));
  return hash_bytes(text.data(), text.size());
}

class PackWriter {
 public:
  PackWriter(const ModelConfig& config, const std::string& model_dir, const PackOptions& options,
             const std::string& folder)
      : config_(config),
        options_(options),
        folder_(folder),
        model_dir_(model_dir),
        source_(open_checkpoint_source(config, model_dir)),
        reader_(*source_) {
    LoadOptions load;
    load.quantization = options.quantization;
    for (int rank = 0; rank < options.tensor_parallel_size; ++rank) {
      EntryList list(*source_);
      ernie45_vl::load_weights(config, load, {rank, options.tensor_parallel_size}, list);
      entries_.push_back(list.take());
      RankFile& file =
          files_.emplace_back(folder + "/" + pack_file_name(rank, options.tensor_parallel_size));
      for (const Entry& entry : entries_.back()) announce(entry, file);
      total_ += file.data_bytes();
    }
  }

  size_t bytes() const { return total_; }

  void write() {
    report(0);
    for (RankFile& file : files_) file.begin();
    // All ranks' slices of a matrix, while it is in memory.
    for (size_t i = 0; i < entries_[0].size(); ++i) {
      for (size_t rank = 0; rank < files_.size(); ++rank) {
        const Entry& entry = entries_[rank][i];
        if (entry.format.is_quantized()) {
          write_quantized(entry, files_[rank]);
        } else {
          for (const MatrixPart& part : entry.parts) write_plain(part, files_[rank]);
        }
      }
      for (const MatrixPart& part : entries_[0][i].parts) source_->release(part.tensor);
      reader_.trim();
      report(written_);
    }
    source_->finish();
    PackIndex index{.quantization = options_.quantization,
                    .tensor_parallel_size = options_.tensor_parallel_size,
                    .geometry = geometry_of(config_),
                    .config = hash_file(fs::path(model_dir_) / "config.json"),
                    .files = {}};
    for (RankFile& file : files_) index.files.push_back(file.finish());
    std::ofstream out(pack_index_path(folder_), std::ios::binary);
    out << pack_index_text(index) << std::flush;
    if (!out) throw StartError(pack_index_path(folder_) + ": cannot write");
  }

 private:
  void announce(const Entry& entry, RankFile& file) const {
    const WeightFormat& format = entry.format;
    for (const auto& [tensor, slice] : entry.parts) {
      const std::string& name = tensor.name;
      if (!format.is_quantized()) {
        const DType dtype = source_->stored_dtype(tensor);
        file.announce(name, dtype == DType::kF32 ? "F32" : "BF16", slice.rows, slice.cols,
                      dtype_bytes(dtype));
        continue;
      }
      file.announce(packed_name(name), "I32", slice.rows, words_per_row(slice.cols, format.type),
                    sizeof(uint32_t));
      file.announce(scale_name(name), "BF16", slice.rows, scales_per_row(slice.cols, format.group),
                    sizeof(BF16));
      file.announce_shape(shape_name(name));
    }
  }

  void write_plain(const MatrixPart& part, RankFile& file) {
    const DType dtype = source_->stored_dtype(part.tensor);
    std::vector<std::byte> values(static_cast<size_t>(part.slice.rows * part.slice.cols) *
                                  dtype_bytes(dtype));
    source_->read(part.tensor, part.slice, dtype, values.data());
    write(part.tensor.name, std::span(values), file);
  }

  void write_quantized(const Entry& entry, RankFile& file) {
    const std::vector<HostMatrix> matrices = reader_.rows(entry.parts, entry.format);
    const int64_t cols = matrices[0].in_features;
    const int64_t row_words = words_per_row(cols, entry.format.type);
    const int64_t row_scales = scales_per_row(cols, entry.format.group);
    int64_t first = 0;  // row of the stack
    for (const auto& [tensor, slice] : entry.parts) {
      std::vector<uint32_t> words(static_cast<size_t>(slice.rows * row_words));
      std::vector<BF16> scales(static_cast<size_t>(slice.rows * row_scales));
      for_ranges(slice.rows, [&](int64_t begin, int64_t end) {
        std::vector<int8_t> q(static_cast<size_t>(cols));
        for (int64_t r = begin; r < end; ++r) {
          const auto [matrix, row] = find_row(std::span(matrices), first + r);
          quantize_row(*matrix, row, entry.format, q.data(), scales.data() + r * row_scales);
          pack_words(q.data(), cols, entry.format.type, words.data() + r * row_words);
        }
      });
      first += slice.rows;
      write(packed_name(tensor.name), std::span<const uint32_t>(words), file);
      write(scale_name(tensor.name), std::span<const BF16>(scales), file);
      const std::array<int64_t, 2> shape{slice.rows, slice.cols};
      write(shape_name(tensor.name), std::span<const int64_t>(shape), file);
    }
  }

  template <class T>
  void write(const std::string& name, std::span<T> data, RankFile& file) {
    file.write(name, std::as_bytes(data));
    written_ += data.size_bytes();
  }

  void report(size_t written) const {
    if (options_.progress) options_.progress(written, total_);
  }

  const ModelConfig& config_;
  const PackOptions& options_;
  const std::string& folder_;
  const std::string& model_dir_;
  const std::unique_ptr<WeightSource> source_;
  PartReader reader_;
  std::vector<std::vector<Entry>> entries_;  // of each rank: the same tensors, other slices
  std::vector<RankFile> files_;
  size_t total_ = 0;
  size_t written_ = 0;
};

// Tokenizer, templates and settings, but nothing that holds weights.
void copy_small_files(const fs::path& from, const fs::path& to) {
  constexpr uintmax_t kMostBytes = uintmax_t{64} << 20;
  for (const fs::directory_entry& item : fs::directory_iterator(from)) {
    const std::string name = item.path().filename();
    const std::string type = item.path().extension();
    const bool weights = name.find(".safetensors") != name.npos || type == ".bin" ||
                         type == ".pdparams" || type == ".pt" || type == ".pth" || type == ".gguf";
    if (!item.is_regular_file() || weights || item.file_size() > kMostBytes) continue;
    fs::copy_file(item.path(), to / name);
  }
}

void sync_files(const fs::path& folder) {
  for (const fs::directory_entry& item : fs::directory_iterator(folder)) {
    const int fd = open(item.path().c_str(), O_RDONLY | O_CLOEXEC);
    const bool synced = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0) close(fd);
    if (!synced) {
      throw StartError(item.path().string() + ": cannot write: " + std::strerror(errno));
    }
  }
}

void refuse_existing(const fs::path& path, const char* advice) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return;
  throw StartError("--output: expected no folder " + path.string() + ", found one; " + advice);
}

void check(const ModelConfig& config, const PackOptions& options) {
  if (config.quantization.any()) {
    throw StartError(
        "--model: expected a bfloat16 checkpoint, found one that is quantised already "
        "(" +
        describe(config.quantization, DType::kBF16) + "); it is served as it is");
  }
  take(check_tensor_parallel(config, options.tensor_parallel_size));
  take(check_quantization(config, options.quantization, options.tensor_parallel_size));
}

void write_checked(const ModelConfig& config, const std::string& model_dir,
                   const PackOptions& options, const std::string& output) {
  const fs::path target = fs::absolute(output).lexically_normal();
  const fs::path done = target.has_filename() ? target : target.parent_path();
  const std::string partial = done.string() + ".partial";
  refuse_existing(done, "remove it or choose another name");
  refuse_existing(partial, "an earlier run was broken off: remove it");
  PackWriter writer(config, model_dir, options, partial);
  fs::create_directories(done.parent_path());
  if (!fs::create_directory(partial)) refuse_existing(partial, "another run is writing it");
  try {
    const uintmax_t room = fs::space(partial).available;
    if (room < writer.bytes()) {
      throw StartError("--output: expected room for " + std::to_string(writer.bytes()) +
                       " bytes, found " + std::to_string(room) + " bytes free in " +
                       done.parent_path().string());
    }
    writer.write();
    copy_small_files(model_dir, partial);
    sync_files(partial);
    fs::rename(partial, done);
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(partial, ignored);
    throw;
  }
}

}  // namespace

void write_pack(const ModelConfig& config, const std::string& model_dir, const PackOptions& options,
                const std::string& output) {
  check(config, options);
  try {
    write_checked(config, model_dir, options, output);
  } catch (const fs::filesystem_error& error) {
    throw StartError("--output: cannot write \"" + output + "\": " + error.code().message());
  }
}

}  // namespace ernie::model
