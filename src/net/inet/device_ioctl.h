// What programs ask of network devices through any socket: netdevice(7).
#pragma once
#include "fs/vfs/caller.h"
#include "net/inet/network.h"

namespace usk {

// Whether `cmd` is one of SIOCGIF* and SIOCSIF*.
bool is_device_request(uint32_t cmd);
// ENODEV for a name that is not the device's, EPERM, EFAULT; ENOTTY for another request.
Result<int64_t> device_ioctl(Caller& caller, InetNetwork& network, uint32_t cmd, uint64_t arg);

}  // namespace usk
