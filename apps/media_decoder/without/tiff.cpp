#include "still_codec.h"

namespace ernie::media {

const StillCodec kTiffCodec;

}  // namespace ernie::media
