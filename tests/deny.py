#!/usr/bin/env python3
"""Runs a command to which the host refuses some system calls, as container hosts do.

usage: deny.py CALL[,CALL...] COMMAND...   the calls fail with EPERM

CALL is a number, or NUMBER&FLAGS: only with one of these flags in the first argument.
"""
import ctypes
import os
import struct
import sys

PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2
LOAD, JUMP_IF_EQUAL, JUMP_IF_SET, RETURN = 0x20, 0x15, 0x45, 0x06
ALLOW, REFUSE = 0x7fff0000, 0x00050000 | 1  # SECCOMP_RET_ERRNO | EPERM
NUMBER, FIRST_ARGUMENT = 0, 16


def program_for(calls):
    """Each call: unless it is that one, on to the next."""
    program = []
    for call in calls:
        number, _, flags = call.partition("&")
        program += [(LOAD, 0, 0, NUMBER), (JUMP_IF_EQUAL, 0, 3 if flags else 1, int(number))]
        if flags:
            program += [(LOAD, 0, 0, FIRST_ARGUMENT), (JUMP_IF_SET, 0, 1, int(flags, 0))]
        program.append((RETURN, 0, 0, REFUSE))
    return [*program, (RETURN, 0, 0, ALLOW)]


def main():
    program = program_for(sys.argv[1].split(","))
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    filter_ = struct.pack("HxxxxxxP", len(program), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.c_char_p(filter_), 0, 0) != 0:
        sys.exit("seccomp: " + os.strerror(ctypes.get_errno()))
    os.execvp(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
