// SwiftPM wants a source file in a C target; the functions are implemented in Sources/Rudolph/CInterface. This one checks that the header is
// C by itself.
#include "rudolph.h"
