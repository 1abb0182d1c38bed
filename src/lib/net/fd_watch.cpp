#include "net/fd_watch.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

namespace stagepost::net {

// Handlers hold a shared_ptr to the state and look at `alive`, because one may be queued when the owner goes away.
struct FdWatch::Impl : std::enable_shared_from_this<FdWatch::Impl> {
  Impl(EventLoop& loop, int fd, std::function<void(bool, bool)> ready)
      : descriptor(loop.context(), fd), on_ready(std::move(ready)) {}

  void arm_read() {
    if (!alive || !want_read || reading) { return; }
    reading = true;
    descriptor.async_wait(boost::asio::posix::descriptor_base::wait_read,
                          [self = shared_from_this()](const boost::system::error_code& error) {
                            self->reading = false;
                            if (!self->alive || error) { return; }
                            if (self->want_read) { self->on_ready(true, false); }
                            self->arm_read();
                          });
  }
  void arm_write() {
    if (!alive || !want_write || writing) { return; }
    writing = true;
    descriptor.async_wait(boost::asio::posix::descriptor_base::wait_write,
                          [self = shared_from_this()](const boost::system::error_code& error) {
                            self->writing = false;
                            if (!self->alive || error) { return; }
                            if (self->want_write) { self->on_ready(false, true); }
                            self->arm_write();
                          });
  }

  boost::asio::posix::stream_descriptor descriptor;
  std::function<void(bool, bool)> on_ready;
  bool alive = true;
  bool want_read = false;
  bool want_write = false;
  bool reading = false;
  bool writing = false;
};

FdWatch::FdWatch(EventLoop& loop, int fd, std::function<void(bool, bool)> on_ready)
    : impl_(std::make_shared<Impl>(loop, fd, std::move(on_ready))) {}

FdWatch::~FdWatch() {
  impl_->alive = false;
  impl_->descriptor.release();
}

void FdWatch::want(bool read, bool write) {
  impl_->want_read = read;
  impl_->want_write = write;
  impl_->arm_read();
  impl_->arm_write();
}

struct Timer::Impl : std::enable_shared_from_this<Timer::Impl> {
  Impl(EventLoop& loop, std::function<void()> call) : timer(loop.context()), on_time(std::move(call)) {}

  boost::asio::steady_timer timer;
  std::function<void()> on_time;
  unsigned long generation = 0;
};

Timer::Timer(EventLoop& loop, std::function<void()> on_time)
    : impl_(std::make_shared<Impl>(loop, std::move(on_time))) {}

Timer::~Timer() { clear(); }

void Timer::set(Deadline deadline) {
  const unsigned long generation = ++impl_->generation;
  impl_->timer.expires_at(deadline.at());
  impl_->timer.async_wait([self = impl_, generation](const boost::system::error_code& error) {
    if (error || self->generation != generation) { return; }
    self->on_time();
  });
}

void Timer::clear() {
  ++impl_->generation;
  impl_->timer.cancel();
}

}  // namespace stagepost::net
