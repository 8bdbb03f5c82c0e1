// Parts of the program `policy`, which tests/policy_tests.py runs under rules.
#pragma once

// ops.cc: every way to each kind of access.
int try_ways(const char* dir, const char* tmp);
// race.cc: names that change while they are used; what comes out must be what was allowed.
int race(const char* how, const char* dir, int rounds);
