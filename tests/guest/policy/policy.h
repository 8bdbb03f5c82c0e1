// Parts of the program `policy`, which tests/policy_tests.py runs under rules.
#pragma once

// ops.cc: every way to each kind of access.
int try_ways(const char* dir, const char* tmp);
// race.cc: names that change while they are used; what comes out must be what was allowed.
int race(const char* how, const char* dir, int rounds);
// signals.cc: handlers that return in every way that programs know, and a frame that no signal
// made.
int return_from_signals();
int return_from_forged_frame();
