// The far end of gdb's `target remote`: its manual, "Remote Protocol". All-stop, one process.
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "gdb/packet.h"
#include "gdb/registers.h"
#include "kernel/debug/session.h"

namespace usk::gdb {

// Knows nothing of sockets: what arrives is given to it, and what it has to say is taken from it.
class GdbServer {
 public:
  // `settled` as DebugSession::attach() has it; settled() is to be called soon after.
  static Result<std::unique_ptr<GdbServer>> attach(Ref<ThreadGroup> process,
                                                   std::function<void()> settled);
  void receive(std::string_view bytes);
  void settled();
  std::string take_output() { return std::exchange(out_, {}); }
  // There is nothing more to say: once all is sent, leave.
  bool is_done() const { return done_; }
  // Whether the process can be let go, which the destructor does; if not, it is being stopped for
  // that, and settled() will be called.
  bool can_leave();

 private:
  explicit GdbServer(std::unique_ptr<DebugSession> session) : session_(std::move(session)) {}
  void handle(std::string_view packet);
  void reply(std::string_view data);
  void reply_error(Errno code);
  void reply_to(const Result<void>& r);
  void tell_stop();
  std::string stop_text(const DebugStop& stop);
  std::string exec_path(int tid);

  // Each of these takes what stands behind the packet's name.
  void query(std::string_view p);
  void set(std::string_view p);
  void verbose(std::string_view p);
  void resume(std::string_view p);
  void choose_thread(std::string_view p);
  void thread_list();
  void is_thread_alive(std::string_view p);
  void read_registers();
  void write_registers(std::string_view p);
  void read_register(std::string_view p);
  void write_register(std::string_view p);
  void read_memory(std::string_view p);
  void write_memory(std::string_view p, bool binary);
  void insert(std::string_view p);
  void remove(std::string_view p);
  void transfer(std::string_view p);
  std::string thread_table();
  std::string auxv();
  void file_request(std::string_view p);
  void open_file(std::string_view p);
  void read_file(std::string_view p);
  void stat_file(std::string_view p);
  void close_file(std::string_view p);
  void read_link(std::string_view p);

  // The thread that registers are asked of: the chosen one, or any.
  Task* current();
  Result<RegisterValues> registers(Task& t);
  Result<void> set_registers(Task& t, const RegisterValues& before, const RegisterValues& after);

  std::unique_ptr<DebugSession> session_;
  PacketReader in_;
  std::string out_, last_;  // `last_`: the packet that may be asked for again.
  int chosen_ = 0;          // Thread; 0: any.
  bool acks_ = true;
  bool waits_ = false;  // gdb waits for a stop.
  bool done_ = false;
  bool knows_exec_ = false, knows_no_resumed_ = false;
  DebugStop last_stop_;
  // What a transfer in pieces reads from, made at its first piece.
  std::string table_name_, table_;
  std::map<int, Ref<File>> files_;  // Of the guest, open for reading.
  int next_file_ = 1;
};

}  // namespace usk::gdb
